package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/glowplug/glowplug/gomod/buckets"
)

// diagnosis is what doctor answers. None of it is a secret.
type diagnosis struct {
	Profile     string      `json:"profile"`
	Region      decided     `json:"region"`
	Endpoint    decided     `json:"endpoint"`
	Proxy       *decided    `json:"proxy"`
	Trust       trust       `json:"trust"`
	Credentials credentials `json:"credentials"`
	Request     exchange    `json:"request"`
}

type decided struct {
	Value  string `json:"value"`
	Source string `json:"source"` // empty: AWS's own endpoint
}

type trust struct {
	Source       string          `json:"source"`
	Files        []string        `json:"files"`
	Certificates int             `json:"certificates"`
	Error        json.RawMessage `json:"error,omitempty"`
}

type credentials struct {
	Source string          `json:"source"`
	Millis *float64        `json:"ms"` // to get them
	Error  json.RawMessage `json:"error,omitempty"`
}

// exchange is one request. A time is null where its step did not happen or did not end.
type exchange struct {
	Operation   string          `json:"operation"` // empty: an unsigned GET, for want of credentials
	Address     string          `json:"address"`   // of the server or the proxy
	DNS         *float64        `json:"dns_ms"`
	TCP         *float64        `json:"tcp_ms"`
	TLS         *float64        `json:"tls_ms"`
	FirstByte   *float64        `json:"first_byte_ms"` // since the request was sent
	Total       *float64        `json:"total_ms"`
	Status      int             `json:"status"`
	RequestID   string          `json:"request_id"`
	ContentType string          `json:"content_type"`
	Skew        *float64        `json:"clock_skew_s"` // the server's clock less ours
	Certificate *certificate    `json:"certificate"`
	Error       json.RawMessage `json:"error,omitempty"`
}

type certificate struct {
	TLS     string `json:"tls"` // the protocol; empty where the handshake failed
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"`
	Expires string `json:"expires"`
}

// doctor tells what a client would use and how one request fares on a connection
// of its own. What fails is part of the answer, and no error.
func doctor(ctx context.Context, c *client, _ callOptions, _ func(string) bool) (string, error) {
	config := c.lister.Config()
	to, _ := c.lister.Endpoint()
	endpoint, err := url.Parse(to)
	if err != nil {
		return "", err
	}
	d := diagnosis{
		Profile:  config.Profile,
		Region:   decided{config.Region, config.Origins.Region},
		Endpoint: decided{endpoint.String(), config.Origins.Endpoint},
		Trust:    trust{Source: config.Origins.Trust},
	}
	if via, source := config.Proxy(endpoint); via != nil {
		d.Proxy = &decided{via.String(), source}
	}
	if store, err := config.Roots(); err != nil {
		d.Trust.Error = json.RawMessage(encodeError(err))
	} else {
		d.Trust.Files, d.Trust.Certificates = store.Files(), store.Len()
	}

	began := time.Now()
	if d.Credentials.Source, err = config.CredentialSource(); err == nil {
		_, err = config.Credentials.Retrieve(ctx)
	}
	send := list
	if err != nil {
		d.Credentials.Error = json.RawMessage(encodeError(err))
		send = get
	} else {
		d.Credentials.Millis, d.Request.Operation = millis(began, time.Now()), "ListBuckets"
	}
	d.Request.run(ctx, c, endpoint, d.Proxy != nil, send)
	text, err := json.Marshal(d)
	return "D" + string(text), err
}

func list(ctx context.Context, c *client, _ *url.URL) error {
	_, err := c.lister.API().ListBuckets(ctx, &s3.ListBucketsInput{MaxBuckets: aws.Int32(1)})
	return err
}

func get(ctx context.Context, c *client, endpoint *url.URL) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.String(), nil)
	if err != nil {
		return err
	}
	resp, err := c.lister.Config().HTTPClient.Do(req)
	if err != nil {
		return err
	}
	buckets.Observed(ctx).Answer(resp, nil)
	return resp.Body.Close()
}

func (x *exchange) run(ctx context.Context, c *client, endpoint *url.URL, proxied bool, send func(context.Context, *client, *url.URL) error) {
	var t timeline
	buckets.Observed(ctx).Answer = t.answered
	began := time.Now()
	err := send(httptrace.WithClientTrace(ctx, t.trace()), c, endpoint)

	t.Lock()
	defer t.Unlock()
	x.Address, x.Status, x.Certificate = t.address, t.status, t.certificate
	x.RequestID, x.ContentType = t.head.Get("X-Amz-Request-Id"), t.head.Get("Content-Type")
	// net/http reports the handshake of our own dialer as begun when it is over.
	shake := t.connected
	if proxied {
		shake = t.shaking
	}
	x.DNS, x.TCP, x.TLS = millis(t.resolving, t.resolved), millis(t.connecting, t.connected), millis(shake, t.shaken)
	x.FirstByte = millis(t.sent, t.firstByte)
	if t.status != 0 {
		x.Total = millis(began, time.Now())
		if date, err := http.ParseTime(t.head.Get("Date")); err == nil {
			// The header has whole seconds, cut: in the mean it is half a second late.
			skew := date.Add(500 * time.Millisecond).Sub(t.firstByte).Seconds()
			x.Skew = &skew
		}
	}
	if err != nil {
		x.Error = json.RawMessage(encodeError(buckets.Classify(ctx, x.Operation, "", err)))
		if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(refused.UnverifiedCertificates) > 0 {
			x.Certificate = newCertificate(refused.UnverifiedCertificates[0], "")
		}
	}
}

// millis is nil where either end is not known.
func millis(from, to time.Time) *float64 {
	if from.IsZero() || to.IsZero() {
		return nil
	}
	ms := float64(to.Sub(from).Microseconds()) / 1000
	return &ms
}

func newCertificate(c *x509.Certificate, version string) *certificate {
	return &certificate{TLS: version, Subject: c.Subject.String(), Issuer: c.Issuer.String(), Expires: c.NotAfter.UTC().Format(time.RFC3339)}
}

// timeline is what happened when. Several addresses may be dialled at once, and
// one of them after the request has ended.
type timeline struct {
	sync.Mutex
	resolving, resolved, connecting, connected, shaking, shaken, sent, firstByte time.Time

	address     string
	certificate *certificate
	status      int
	head        http.Header
}

func (t *timeline) at(moment *time.Time) {
	t.Lock()
	defer t.Unlock()
	*moment = time.Now()
}

func (t *timeline) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { t.at(&t.resolving) },
		DNSDone: func(i httptrace.DNSDoneInfo) {
			if i.Err == nil {
				t.at(&t.resolved)
			}
		},
		ConnectStart: func(_, address string) {
			t.Lock()
			defer t.Unlock()
			if t.connecting.IsZero() {
				t.connecting, t.address = time.Now(), address
			}
		},
		ConnectDone: func(_, address string, err error) {
			t.Lock()
			defer t.Unlock()
			if err == nil && t.connected.IsZero() {
				t.connected, t.address = time.Now(), address
			}
		},
		TLSHandshakeStart: func() { t.at(&t.shaking) },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			t.Lock()
			defer t.Unlock()
			if err == nil && len(s.PeerCertificates) > 0 {
				t.shaken, t.certificate = time.Now(), newCertificate(s.PeerCertificates[0], strings.TrimPrefix(tls.VersionName(s.Version), "TLS "))
			}
		},
		WroteRequest:         func(httptrace.WroteRequestInfo) { t.at(&t.sent) },
		GotFirstResponseByte: func() { t.at(&t.firstByte) },
	}
}

func (t *timeline) answered(head *http.Response, _ []byte) {
	t.Lock()
	defer t.Unlock()
	t.status, t.head = head.StatusCode, head.Header
}
