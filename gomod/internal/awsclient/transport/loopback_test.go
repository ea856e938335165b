package transport_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/transport"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/truststore"
)

// never fails the test when the client goes as far as connecting.
func never(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, _, addr string) (net.Conn, error) {
		t.Errorf("%s was dialled", addr)
		return nil, net.ErrClosed
	}
}

func requireOffline(t *testing.T, err error, addr string) {
	t.Helper()
	requireCode(t, err, transport.CodeOffline)
	e, _ := transport.Classify(err)
	require.Equal(t, awserr.Connection, e.Kind)
	require.False(t, e.Retryable)
	for _, word := range []string{addr, "glowplug_s3", "AWS_ENDPOINT_URL_S3", "moto", "GLOWPLUG_OFFLINE"} {
		require.Contains(t, e.Message, word)
	}
}

func TestLoopbackOnlyRefusesBeforeAnythingIsLookedUp(t *testing.T) {
	for endpoint, addr := range map[string]string{
		"https://s3.eu-west-1.amazonaws.com":      "s3.eu-west-1.amazonaws.com:443",
		"http://169.254.169.254/latest":           "169.254.169.254:80",
		"http://[fd00:ec2::254]/latest":           "[fd00:ec2::254]:80",
		"http://10.0.0.1:9000":                    "10.0.0.1:9000",
		"http://0.0.0.0:9000":                     "0.0.0.0:9000",
		"http://[::ffff:192.0.2.1]":               "[::ffff:192.0.2.1]:80",
		"http://127.1:80":                         "127.1:80", // a name to Go, an address to inet_aton
		"http://localhost.example.com":            "localhost.example.com:80",
		"http://mylocalhost":                      "mylocalhost:80",
		"https://s3.localhost.amazonaws.com:4566": "s3.localhost.amazonaws.com:4566",
	} {
		t.Run(endpoint, func(t *testing.T) {
			c := newClient(t, transport.Options{LoopbackOnly: true, DialContext: never(t), Roots: func() (*truststore.Store, error) {
				t.Error("the trust store was read")
				return nil, net.ErrClosed
			}})
			_, err := get(t, c, endpoint)
			requireOffline(t, err, addr)
			requireOffline(t, c.Preconnect(t.Context(), parse(t, endpoint)), addr)
		})
	}
}

func TestLoopbackOnlyLetsLoopbackPass(t *testing.T) {
	s := plain(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	for _, host := range []string{"127.0.0.1", "[::ffff:127.0.0.1]", "localhost"} {
		t.Run(host, func(t *testing.T) {
			c := newClient(t, transport.Options{LoopbackOnly: true})
			require.NoError(t, c.Preconnect(t.Context(), parse(t, "http://"+host+":"+port)))
			body, err := get(t, c, "http://"+host+":"+port)
			require.NoError(t, err)
			require.Equal(t, "ok", body)
		})
	}
	t.Run("names below localhost are for the dialer to judge", func(t *testing.T) {
		var dialled []string
		c := newClient(t, transport.Options{LoopbackOnly: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialled = append(dialled, addr)
			return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		}})
		for _, host := range []string{"bucket.localhost", "BUCKET.LocalHost."} {
			_, err := get(t, c, "http://"+host+":9000")
			require.NoError(t, err)
		}
		require.Equal(t, []string{"bucket.localhost:9000", "bucket.localhost.:9000"}, lower(dialled))
	})
	t.Run("https", func(t *testing.T) {
		s, roots := secure(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
		body, err := get(t, newClient(t, transport.Options{LoopbackOnly: true, Roots: roots}), s.URL)
		require.NoError(t, err)
		require.Equal(t, "ok", body)
	})
}

func lower(all []string) []string {
	for i, s := range all {
		all[i] = strings.ToLower(s)
	}
	return all
}

func TestLoopbackOnlyCountsProxies(t *testing.T) {
	for sentence, c := range map[string]struct{ endpoint, proxy, addr string }{
		"a loopback proxy is no way out":             {"http://s3.amazonaws.com", "http://127.0.0.1:3128", "s3.amazonaws.com:80"},
		"nor is one for TLS":                         {"https://s3.amazonaws.com", "http://localhost:3128", "s3.amazonaws.com:443"},
		"a proxy elsewhere gets nothing":             {"http://127.0.0.1:9000", "http://proxy.example.com:3128", "proxy.example.com:3128"},
		"nor does one for TLS":                       {"https://127.0.0.1:9000", "https://proxy.example.com", "proxy.example.com:443"},
		"a SOCKS proxy, which looks names up itself": {"http://localhost:9000", "socks5h://192.0.2.1:1080", "192.0.2.1:1080"},
	} {
		t.Run(sentence, func(t *testing.T) {
			client := newClient(t, transport.Options{LoopbackOnly: true, DialContext: never(t), Proxy: func(*url.URL) (*url.URL, error) { return parse(t, c.proxy), nil }})
			_, err := get(t, client, c.endpoint)
			requireOffline(t, err, c.addr)
			requireOffline(t, client.Preconnect(t.Context(), parse(t, c.endpoint)), c.addr)
		})
	}
}

func TestTheDialerRefusesWhatLocalhostMustNotMean(t *testing.T) {
	conn, err := transport.LoopbackDialer().Dial("udp", "192.0.2.1:9")
	if err == nil {
		_ = conn.Close()
	}
	requireOffline(t, err, "192.0.2.1:9")
}
