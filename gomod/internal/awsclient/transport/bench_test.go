package transport_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/internal/awsclient/transport"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/truststore"
)

// BenchmarkCold is a client's first https request, server included, with the
// bundle of this machine and one root more. net/http beside it has its defaults,
// so it also pays for a post-quantum key exchange.
func BenchmarkCold(b *testing.B) {
	const debian = "/etc/ssl/certs/ca-certificates.crt"
	public, err := os.ReadFile(debian)
	if err != nil {
		b.Skip(err)
	}
	cert := certificate(b, func(*x509.Certificate) {})
	data := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Leaf.Raw}), public...)
	url := "https://" + certificateServer(b, cert)

	b.Run("glowplug", func(b *testing.B) {
		for b.Loop() {
			c := transport.New(transport.Options{Roots: func() (*truststore.Store, error) { return truststore.FromPEM(data) }})
			body, err := get(b, c, url)
			require.NoError(b, err)
			require.Equal(b, "ok", body)
			c.Close()
		}
	})
	b.Run("glowplug, connected ahead", func(b *testing.B) {
		for b.Loop() {
			c := transport.New(transport.Options{Roots: func() (*truststore.Store, error) { return truststore.FromPEM(data) }})
			require.NoError(b, c.Preconnect(context.Background(), parse(b, url)))
			body, err := get(b, c, url)
			require.NoError(b, err)
			require.Equal(b, "ok", body)
			c.Close()
		}
	})
	b.Run("net/http, all roots parsed", func(b *testing.B) {
		for b.Loop() {
			pool := x509.NewCertPool()
			require.True(b, pool.AppendCertsFromPEM(bytes.Clone(data)))
			t := http.DefaultTransport.(*http.Transport).Clone()
			t.TLSClientConfig.RootCAs = pool
			resp, err := (&http.Client{Transport: t}).Get(url)
			require.NoError(b, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(b, err)
			require.NoError(b, resp.Body.Close())
			t.CloseIdleConnections()
		}
	})
}

// BenchmarkWarm is what Do adds to net/http on a connection that is open.
func BenchmarkWarm(b *testing.B) {
	url := "http://" + listen(b, func(_ int, conn net.Conn) {
		for head(conn) {
			_, _ = io.WriteString(conn, ok)
		}
	})
	b.Run("glowplug", func(b *testing.B) {
		c := newClient(b, transport.Options{AttemptTimeout: time.Minute})
		b.ReportAllocs()
		for b.Loop() {
			_, err := get(b, c, url)
			require.NoError(b, err)
		}
	})
	b.Run("net/http", func(b *testing.B) {
		t := new(http.Transport)
		defer t.CloseIdleConnections()
		b.ReportAllocs()
		for b.Loop() {
			resp, err := t.RoundTrip(request(b, http.MethodGet, url, nil))
			require.NoError(b, err)
			_, err = io.ReadAll(resp.Body)
			require.NoError(b, err)
			require.NoError(b, resp.Body.Close())
		}
	})
}
