package transport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/transport"
)

type x509Certificate = x509.Certificate

// closedPort is an address where nobody listens: it belongs to the client's end of a connection.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = conn.Close()
		_ = l.Close()
	})
	return conn.LocalAddr().String()
}

// certificateServer answers over TLS with that certificate.
func certificateServer(t testing.TB, cert tls.Certificate) string {
	t.Helper()
	return tlsServer(t, &tls.Config{Certificates: []tls.Certificate{cert}})
}

func tlsServer(t testing.TB, config *tls.Config) string {
	t.Helper()
	return listen(t, func(_ int, raw net.Conn) {
		conn := tls.Server(raw, config)
		for head(conn) {
			_, _ = io.WriteString(conn, ok)
		}
	})
}

func TestClassify(t *testing.T) {
	good := certificate(t, func(*x509.Certificate) {})
	expired := certificate(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	early := certificate(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	foreign := certificate(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.test"} })
	client := certificate(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	unknown := certificate(t, func(*x509.Certificate) {})
	roots := trust(good.Leaf, expired.Leaf, early.Leaf, foreign.Leaf, client.Leaf)
	answer := func(text string) string {
		return "http://" + listen(t, func(_ int, conn net.Conn) { head(conn); _, _ = io.WriteString(conn, text) })
	}
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	}
	fail := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}

	for name, c := range map[string]struct {
		url   string
		o     transport.Options
		kind  awserr.Kind
		code  string
		retry bool
		as    any
	}{
		"a host that does not exist":     {"https://no-such-host.invalid", transport.Options{DialContext: fail(&net.DNSError{Err: "no such host", IsNotFound: true})}, awserr.Connection, "HostNotFound", false, new(*net.DNSError)},
		"a name server that fails":       {"https://bucket.test", transport.Options{DialContext: fail(&net.DNSError{Err: "server misbehaving", IsTemporary: true})}, awserr.Connection, "HostLookupFailed", true, new(*net.DNSError)},
		"a name server that is silent":   {"https://bucket.test", transport.Options{DialContext: fail(&net.DNSError{Err: "i/o timeout", IsTimeout: true})}, awserr.Timeout, "ConnectTimeout", true, nil},
		"a closed port":                  {"https://" + closedPort(t), transport.Options{}, awserr.Connection, "ConnectionRefused", true, nil},
		"a host that drops packets":      {"https://bucket.test", transport.Options{DialContext: hang, ConnectTimeout: 20 * time.Millisecond}, awserr.Timeout, "ConnectTimeout", true, nil},
		"a connection that is reset":     {"http://" + listen(t, func(_ int, conn net.Conn) { head(conn); reset(conn) }), transport.Options{}, awserr.Connection, "ConnectionReset", true, nil},
		"a reset within the handshake":   {"https://" + listen(t, func(_ int, conn net.Conn) { _, _ = conn.Read(make([]byte, 1)); reset(conn) }), transport.Options{}, awserr.Connection, "ConnectionReset", true, nil},
		"a connection closed unanswered": {answer(""), transport.Options{}, awserr.Connection, "EOF", true, nil},
		"a close within the handshake":   {"https://" + listen(t, func(_ int, conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) }), transport.Options{}, awserr.Connection, "EOF", true, nil},
		"a silent handshake":             {"https://" + listen(t, func(_ int, conn net.Conn) { hold(conn) }), transport.Options{AttemptTimeout: short}, awserr.Timeout, "AttemptTimeout", true, nil},
		"a certificate nobody trusts":    {"https://" + certificateServer(t, unknown), transport.Options{}, awserr.Connection, "CertificateNotTrusted", false, new(x509.UnknownAuthorityError)},
		"a certificate for another host": {"https://" + certificateServer(t, foreign), transport.Options{}, awserr.Connection, "CertificateHostMismatch", false, new(x509.HostnameError)},
		"an expired certificate":         {"https://" + certificateServer(t, expired), transport.Options{}, awserr.Connection, "CertificateExpired", false, new(x509.CertificateInvalidError)},
		"a certificate of tomorrow":      {"https://" + certificateServer(t, early), transport.Options{}, awserr.Connection, "CertificateExpired", false, new(x509.CertificateInvalidError)},
		"a certificate for clients":      {"https://" + certificateServer(t, client), transport.Options{}, awserr.Connection, "CertificateInvalid", false, new(x509.CertificateInvalidError)},
		"plain HTTP on a port for TLS": {"https://" + listen(t, func(_ int, conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1))
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			hold(conn)
		}), transport.Options{}, awserr.Connection, "NotTLS", false, new(tls.RecordHeaderError)},
		"TLS 1.1":                          {"https://" + tlsServer(t, &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), transport.Options{}, awserr.Connection, "TLSVersion", false, nil},
		"no application protocol":          {"https://" + tlsServer(t, &tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"other"}}), transport.Options{}, awserr.Connection, "TLSFailed", false, nil},
		"TLS on a port for plain HTTP":     {answer("\x15\x03\x01\x00\x02\x02\x46"), transport.Options{}, awserr.Response, "NotHTTP", false, nil},
		"another protocol":                 {answer("220 mail ESMTP\r\n\r\n"), transport.Options{}, awserr.Response, "NotHTTP", false, nil},
		"an endless header":                {answer("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 300<<10)), transport.Options{}, awserr.Response, "HeaderTooLarge", false, nil},
		"a dialer that fails in its way":   {"http://bucket.test", transport.Options{DialContext: fail(errors.New("own"))}, awserr.Connection, "ConnectionFailed", true, nil},
		"a socket that fails in other way": {"http://bucket.test", transport.Options{DialContext: fail(&net.OpError{Op: "dial", Err: errors.New("odd")})}, awserr.Connection, "ConnectionFailed", true, new(*net.OpError)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.o.Roots = roots
			_, err := get(t, newClient(t, c.o), c.url)
			e, ok := transport.Classify(fmt.Errorf("wrapped: %w", err))
			require.True(t, ok)
			require.Equal(t, c.kind, e.Kind, "%v", e)
			require.Equal(t, c.code, e.Code, "%v", e)
			require.Equal(t, c.retry, e.Retryable)
			require.ErrorIs(t, e, err)
			host := strings.TrimPrefix(strings.TrimPrefix(c.url, "https://"), "http://")
			require.Contains(t, e.Message, host, "names host:port")
			require.NotContains(t, e.Message, "\n")
			requireNotTheCallers(t, err)
			require.Equal(t, aws.BoolTernary(c.retry), retryable(err), "the SDK agrees")
			if c.as != nil {
				require.ErrorAs(t, e, c.as)
			}

			preconnect := newClient(t, c.o).Preconnect(context.Background(), parse(t, c.url))
			if preconnect != nil {
				requireCode(t, preconnect, c.code)
			}
		})
	}
}

func TestClassifyForeignErrors(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code string // empty: not ours to say
	}{
		"none":                            {nil, ""},
		"something else":                  {errors.New("else"), ""},
		"the caller gave up":              {fmt.Errorf("x: %w", context.Canceled), ""},
		"the caller's deadline":           {fmt.Errorf("x: %w", context.DeadlineExceeded), ""},
		"HTTP on a port for TLS":          {http.ErrSchemeMismatch, "NotTLS"},
		"a host that does not exist":      {&net.DNSError{IsNotFound: true}, "HostNotFound"},
		"a read that timed out":           {&net.OpError{Op: "read", Err: timeoutError{}}, "AttemptTimeout"},
		"a certificate that is not known": {fmt.Errorf("x: %w", x509.UnknownAuthorityError{}), "CertificateNotTrusted"},
		"an error that says it all":       {fmt.Errorf("x: %w", &awserr.Error{Kind: awserr.Invalid, Code: "Own"}), "Own"},
	} {
		t.Run(name, func(t *testing.T) {
			e, ok := transport.Classify(c.err)
			require.Equal(t, c.code != "", ok)
			if ok {
				require.Equal(t, c.code, e.Code)
			}
		})
	}
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
