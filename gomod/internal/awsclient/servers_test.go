package awsclient_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// asked is a request as a server saw it.
type asked struct {
	method, path, query, body string
	header                    http.Header
	form                      url.Values
}

// server records what it is asked and answers with what answer says.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	asked []asked
}

func newServer(t *testing.T, answer func(w http.ResponseWriter, r asked)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		a := asked{r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header, form}
		s.mu.Lock()
		s.asked = append(s.asked, a)
		s.mu.Unlock()
		answer(w, a)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) requests() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]asked(nil), s.asked...)
}

func in(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

// keys answers as the container endpoint does.
func keys(w http.ResponseWriter, id string, ends string) {
	answer := map[string]string{"AccessKeyId": id, "SecretAccessKey": canary, "Token": "token-" + id}
	if ends != "" {
		answer["Expiration"] = ends
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// newSTS answers AssumeRole and AssumeRoleWithWebIdentity with a key that names the role; roles named "refused" are.
func newSTS(t *testing.T) *server {
	return newServer(t, func(w http.ResponseWriter, r asked) {
		action, role := r.form.Get("Action"), r.form.Get("RoleArn")
		w.Header().Set("Content-Type", "text/xml")
		if strings.HasSuffix(role, "refused") {
			w.WriteHeader(http.StatusForbidden)
			// A careless server that repeats what it was sent.
			fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not allowed: %s %s</Message></Error><RequestId>R-1</RequestId></ErrorResponse>`,
				r.form.Get("WebIdentityToken"), r.header.Get("X-Amz-Security-Token"))
			return
		}
		fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials><AccessKeyId>%[2]s</AccessKeyId><SecretAccessKey>%[3]s</SecretAccessKey><SessionToken>token</SessionToken><Expiration>%[4]s</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/x/y</Arn><AssumedRoleId>A:y</AssumedRoleId></AssumedRoleUser></%[1]sResult><ResponseMetadata><RequestId>R-2</RequestId></ResponseMetadata></%[1]sResponse>`,
			action, "AKID-of-"+role[strings.LastIndex(role, "/")+1:], canary, in(time.Hour))
	})
}

// newIMDS is an instance with a role; it wants a token, as version 2 does.
func newIMDS(t *testing.T) *server {
	return newServer(t, func(w http.ResponseWriter, r asked) {
		switch {
		case r.method == http.MethodPut && r.path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
			fmt.Fprint(w, "imds-token")
		case r.header.Get("X-Aws-Ec2-Metadata-Token") != "imds-token":
			w.WriteHeader(http.StatusUnauthorized)
		case r.path == "/latest/meta-data/iam/security-credentials/":
			fmt.Fprint(w, "my-role")
		case r.path == "/latest/meta-data/iam/security-credentials/my-role":
			fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":"AKID-of-instance","SecretAccessKey":%q,"Token":"t","Expiration":%q}`, canary, in(time.Hour))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

// to is a client that sends everything to one server, whatever its address.
type to struct{ address string }

func (c to) Do(req *http.Request) (*http.Response, error) {
	u, err := url.Parse(c.address)
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("X-Was-For", req.URL.Host)
	req.URL.Scheme, req.URL.Host = u.Scheme, u.Host
	return http.DefaultTransport.RoundTrip(req)
}

func closeIdle(t *testing.T) {
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
}

// doer makes a client of a function.
type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func answer(body string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}
