package transport_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/glowplug/glowplug/gomod/internal/awsclient/transport"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/truststore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short is an attempt time-out that tests wait for; long is one they never reach.
const (
	short = 150 * time.Millisecond
	long  = 20 * time.Second
)

// newClient is closed with the test, which fails if that leaves goroutines.
func newClient(t testing.TB, o transport.Options) *transport.Client {
	t.Helper()
	if o.AttemptTimeout == 0 {
		o.AttemptTimeout = long
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = long
	}
	c := transport.New(o)
	t.Cleanup(c.Close)
	return c
}

// secure starts an https server and returns it with what trusts it.
func secure(t testing.TB, h http.Handler) (*httptest.Server, func() (*truststore.Store, error)) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, trust(s.Certificate())
}

func plain(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func trust(certs ...*x509.Certificate) func() (*truststore.Store, error) {
	var data []byte
	for _, c := range certs {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return func() (*truststore.Store, error) { return truststore.FromPEM(data) }
}

// certificate is self-signed, for 127.0.0.1 unless change says otherwise.
func certificate(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	change(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// listen serves each connection with serve, the n-th as n from 1, until the test ends.
func listen(t testing.TB, serve func(n int, conn net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for n := 1; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				serve(n, conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// head reads a request up to its empty line.
func head(conn net.Conn) bool {
	var seen []byte
	b := make([]byte, 1)
	for {
		if _, err := conn.Read(b); err != nil {
			return false
		}
		if seen = append(seen, b[0]); len(seen) >= 4 && string(seen[len(seen)-4:]) == "\r\n\r\n" {
			return true
		}
	}
}

// hold keeps conn open until its peer closes it.
func hold(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// reset closes conn with an RST.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func request(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, body)
	require.NoError(t, err)
	return req
}

// get returns the body of a GET.
func get(t testing.TB, c *transport.Client, url string) (string, error) {
	t.Helper()
	resp, err := c.Do(request(t, http.MethodGet, url, nil))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func parse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}

// requireCode checks that err is classified so.
func requireCode(t testing.TB, err error, code string) {
	t.Helper()
	require.Error(t, err)
	e, ok := transport.Classify(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, code, e.Code, "%v", e)
}

// requireNotTheCallers checks that err can't be taken for the caller's context.
func requireNotTheCallers(t testing.TB, err error) {
	t.Helper()
	require.False(t, errors.Is(err, context.Canceled), "%v", err)
	require.False(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
}
