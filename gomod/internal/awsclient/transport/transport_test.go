package transport_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/transport"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/truststore"
)

func TestDo(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/proto", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.Header.Get("Accept-Encoding"))
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/proto", http.StatusMovedPermanently)
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte("hello"))
		_ = z.Close()
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	tlsServer, roots := secure(t, mux)
	for name, base := range map[string]string{"https": tlsServer.URL, "http": plain(t, mux).URL} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, transport.Options{Roots: roots})
			body, err := get(t, c, base+"/proto")
			require.NoError(t, err)
			require.Equal(t, "HTTP/1.1 ", body)

			req := request(t, http.MethodHead, base+"/moved", nil)
			resp, err := c.Do(req)
			require.NoError(t, err)
			require.Equal(t, http.StatusMovedPermanently, resp.StatusCode, "not followed")
			require.Same(t, req, resp.Request)

			resp, err = c.Do(request(t, http.MethodGet, base+"/gzip", nil))
			require.NoError(t, err)
			raw, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.NoError(t, resp.Body.Close())
			require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
			require.True(t, bytes.HasPrefix(raw, []byte{0x1f, 0x8b}), "not decoded")

			resp, err = c.Do(request(t, http.MethodPut, base+"/echo", strings.NewReader("sent")))
			require.NoError(t, err)
			raw, err = io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, "sent", string(raw))

			require.Equal(t, transport.Stats{Requests: 4, Connections: 1}, c.Stats(), "one connection for all")
		})
	}
}

func TestZeroOptions(t *testing.T) {
	s := plain(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	c := transport.New(transport.Options{})
	defer c.Close()
	_, err := get(t, c, s.URL)
	require.NoError(t, err)
	_, err = c.Do(&http.Request{})
	require.ErrorIs(t, err, awserr.Invalid)
}

func TestFanOutKeepsItsConnections(t *testing.T) {
	const parallel = 32
	var arrived sync.WaitGroup
	gate := make(chan struct{})
	s, roots := secure(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		<-gate
	}))
	c := newClient(t, transport.Options{Roots: roots})
	for range 3 {
		gate = make(chan struct{})
		arrived.Add(parallel)
		var calls sync.WaitGroup
		for range parallel {
			calls.Go(func() {
				resp, err := c.Do(request(t, http.MethodHead, s.URL, nil))
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Error(err)
				}
			})
		}
		arrived.Wait()
		close(gate)
		calls.Wait()
	}
	require.EqualValues(t, parallel, c.Stats().Connections)
}

func TestSessionsAreResumed(t *testing.T) {
	s, roots := secure(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	c := newClient(t, transport.Options{Roots: roots})
	for range 2 {
		_, err := get(t, c, s.URL)
		require.NoError(t, err)
		c.CloseIdleConnections()
	}
	require.Equal(t, transport.Stats{Requests: 2, Connections: 2, Resumed: 1}, c.Stats())
}

func TestAttemptTimeout(t *testing.T) {
	trickle := func(conn net.Conn, text string) {
		for i := range len(text) {
			time.Sleep(short / 5)
			_, _ = io.WriteString(conn, text[i:i+1])
		}
	}
	for name, c := range map[string]struct {
		serve func(net.Conn)
		send  io.Reader
		pause time.Duration // of the caller, before it reads the body
		code  string
	}{
		"a server that says nothing":           {serve: hold, code: "AttemptTimeout"},
		"a server that stops within the head":  {serve: func(c net.Conn) { head(c); _, _ = io.WriteString(c, "HTTP/1.1 200 O"); hold(c) }, code: "AttemptTimeout"},
		"a server that stops before the body":  {serve: func(c net.Conn) { head(c); _, _ = io.WriteString(c, ok[:len(ok)-2]); hold(c) }, code: "AttemptTimeout"},
		"a server that stops within the body":  {serve: func(c net.Conn) { head(c); _, _ = io.WriteString(c, ok[:len(ok)-1]); hold(c) }, code: "AttemptTimeout"},
		"a server that closes within the body": {serve: func(c net.Conn) { head(c); _, _ = io.WriteString(c, ok[:len(ok)-1]) }, code: "EOF"},
		"a body that comes slowly": {serve: func(c net.Conn) {
			head(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
			trickle(c, strings.Repeat("x", 20))
		}},
		"a caller who reads late":                    {serve: func(c net.Conn) { head(c); _, _ = io.WriteString(c, ok) }, pause: 2 * short},
		"a request's body that is sent slowly":       {serve: func(c net.Conn) { head(c); _, _ = io.CopyN(io.Discard, c, 20); _, _ = io.WriteString(c, ok) }, send: &slow{left: 20, each: short / 5}},
		"a request's body that nobody answers after": {serve: hold, send: strings.NewReader("sent"), code: "AttemptTimeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := listen(t, func(_ int, conn net.Conn) { c.serve(conn) })
			client := newClient(t, transport.Options{AttemptTimeout: short})
			req := request(t, http.MethodGet, "http://"+addr, c.send)
			resp, err := client.Do(req)
			if err == nil {
				time.Sleep(c.pause)
				_, err = io.ReadAll(resp.Body)
				_, again := resp.Body.Read(make([]byte, 1))
				if err != nil {
					require.Equal(t, err, again)
				}
				require.NoError(t, resp.Body.Close())
			}
			if c.code == "" {
				require.NoError(t, err)
				return
			}
			requireCode(t, err, c.code)
			requireNotTheCallers(t, err)
			require.ErrorContains(t, err, addr)
			var n net.Error
			require.ErrorAs(t, err, &n)
			require.Equal(t, c.code == "AttemptTimeout", n.Timeout())
			require.Equal(t, aws.TrueTernary, retryable(err))
			if c.code == "AttemptTimeout" {
				require.EqualValues(t, 1, client.Stats().AttemptTimeouts)
			}
		})
	}
}

// slow is a body of left bytes, each of which takes a while.
type slow struct {
	left int
	each time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.each)
	s.left--
	p[0] = 'x'
	return 1, nil
}

// retryable is the verdict of the SDK's retryer.
func retryable(err error) aws.Ternary {
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(&smithyhttp.RequestSendError{Err: err})
}

func TestTheCallersContextWins(t *testing.T) {
	addr := listen(t, func(n int, conn net.Conn) {
		if head(conn) && n%2 == 0 {
			_, _ = io.WriteString(conn, ok[:len(ok)-1])
		}
		hold(conn)
	})
	c := newClient(t, transport.Options{})
	for _, want := range []error{context.DeadlineExceeded, context.Canceled} {
		ctx, cancel := context.WithCancel(context.Background())
		if want == context.DeadlineExceeded {
			ctx, cancel = context.WithTimeout(context.Background(), short)
		} else {
			time.AfterFunc(short, cancel)
		}
		_, err := c.Do(request(t, http.MethodGet, "http://"+addr, nil).WithContext(ctx))
		require.Equal(t, want, err)
		cancel()

		ctx, cancel = context.WithCancel(context.Background())
		resp, err := c.Do(request(t, http.MethodGet, "http://"+addr, nil).WithContext(ctx))
		require.NoError(t, err)
		time.AfterFunc(short, cancel)
		_, err = io.ReadAll(resp.Body)
		require.Equal(t, context.Canceled, err)
		require.NoError(t, resp.Body.Close())
		cancel()
	}
	require.Zero(t, c.Stats().AttemptTimeouts)
}

func TestClosedIdleConnections(t *testing.T) {
	for name, end := range map[string]func(net.Conn){
		"closed":                     func(conn net.Conn) { _ = conn.Close() },
		"reset":                      reset,
		"reset by the next request":  func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)); reset(conn) },
		"closed by the next request": func(conn net.Conn) { head(conn); _ = conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, func(n int, conn net.Conn) {
				for head(conn) {
					_, _ = io.WriteString(conn, ok)
					if n == 1 {
						end(conn)
						return
					}
				}
			})
			c := newClient(t, transport.Options{})
			for range 3 {
				body, err := get(t, c, "http://"+addr)
				require.NoError(t, err)
				require.Equal(t, "ok", body)
			}
			require.EqualValues(t, 2, c.Stats().Connections)
		})
	}
}

// TestFrozen has a Lambda wake up with connections that lead nowhere: one costs
// an attempt time-out, the others are not tried.
func TestFrozen(t *testing.T) {
	var frozen atomic.Bool
	var black sync.Map
	const idle = 5
	var arrived sync.WaitGroup
	arrived.Add(idle)
	gate := make(chan struct{})
	s, roots := secure(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/together" {
			arrived.Done()
			<-gate
		}
		fmt.Fprint(w, "ok")
	}))
	c := newClient(t, transport.Options{
		Roots: roots, AttemptTimeout: short,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil || frozen.Load() {
				return conn, err
			}
			black.Store(conn, true)
			return &blackHole{conn, &frozen}, nil
		},
	})
	var calls sync.WaitGroup
	for range idle {
		calls.Go(func() {
			if _, err := get(t, c, s.URL+"/together"); err != nil {
				t.Error(err)
			}
		})
	}
	arrived.Wait()
	close(gate)
	calls.Wait()

	frozen.Store(true)
	_, err := get(t, c, s.URL)
	requireCode(t, err, "AttemptTimeout")
	body, err := get(t, c, s.URL)
	require.NoError(t, err, "the retry connects anew")
	require.Equal(t, "ok", body)
	require.EqualValues(t, idle+1, c.Stats().Connections)
	require.EqualValues(t, 1, c.Stats().AttemptTimeouts)
}

// blackHole swallows what is written while swallow is set.
type blackHole struct {
	net.Conn
	swallow *atomic.Bool
}

func (b *blackHole) Write(p []byte) (int, error) {
	if b.swallow.Load() {
		return len(p), nil
	}
	return b.Conn.Write(p)
}

func TestClose(t *testing.T) {
	s := listen(t, func(_ int, conn net.Conn) { head(conn); _, _ = io.WriteString(conn, ok[:len(ok)-1]); hold(conn) })
	silent := listen(t, func(_ int, conn net.Conn) { hold(conn) })
	c := newClient(t, transport.Options{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == "never.test:80" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	})
	var wg sync.WaitGroup
	for _, host := range []string{silent, "never.test"} {
		wg.Go(func() {
			_, err := c.Do(request(t, http.MethodGet, "http://"+host, nil))
			e, ok := transport.Classify(err)
			if !ok || e.Code != "ClientClosed" {
				t.Error(host, err)
			}
		})
	}
	wg.Go(func() {
		err := c.Preconnect(context.Background(), parse(t, "http://never.test"))
		if e, ok := transport.Classify(err); !ok || e.Kind == awserr.Internal {
			t.Error(err)
		}
	})
	resp, err := c.Do(request(t, http.MethodGet, "http://"+s, nil))
	require.NoError(t, err)
	time.Sleep(short)
	c.Close()
	c.Close()
	wg.Wait()
	_, err = io.ReadAll(resp.Body)
	requireCode(t, err, "ClientClosed")
	require.NoError(t, resp.Body.Close())

	_, err = get(t, c, "http://"+s)
	requireCode(t, err, "ClientClosed")
	requireCode(t, c.Preconnect(context.Background(), parse(t, "http://"+s)), "ClientClosed")
}

func TestPanicsBecomeErrors(t *testing.T) {
	boom := func(context.Context, string, string) (net.Conn, error) { panic("boom") }
	for name, o := range map[string]transport.Options{
		"in the dialer":      {DialContext: boom, Roots: trust(certificate(t, func(*x509Certificate) {}).Leaf)},
		"in the trust store": {Roots: func() (*truststore.Store, error) { panic("boom") }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, o)
			for _, err := range []error{
				c.Preconnect(context.Background(), parse(t, "https://127.0.0.1:1")),
				errorOf(c.Do(request(t, http.MethodGet, "https://127.0.0.1:1", nil))),
			} {
				requireCode(t, err, "Panic")
				require.ErrorIs(t, err, awserr.Internal)
				require.ErrorContains(t, err, "boom")
				require.ErrorContains(t, err, "goroutine")
				require.Equal(t, aws.FalseTernary, retryable(err))
			}
		})
	}
}

func TestRootsAreReadOnce(t *testing.T) {
	calls := 0
	c := newClient(t, transport.Options{Roots: func() (*truststore.Store, error) {
		calls++
		return truststore.FromPEM(nil)
	}})
	for range 2 {
		_, err := get(t, c, "https://127.0.0.1:1")
		requireCode(t, err, "NoCertificate")
		require.ErrorIs(t, err, awserr.Invalid)
		require.Equal(t, aws.FalseTernary, retryable(err))
	}
	require.Equal(t, 1, calls)
	require.Zero(t, c.Stats().Connections)
}

// proxy tunnels and forwards, for user:secret only.
func proxy(t *testing.T, seen *atomic.Int64) string {
	t.Helper()
	var tunnels sync.WaitGroup
	t.Cleanup(tunnels.Wait)
	s := plain(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if r.Header.Get("Proxy-Authorization") != "Basic dXNlcjpzZWNyZXQ=" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect {
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			defer resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(w, resp.Body)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		from, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		tunnels.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
		tunnels.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
	}))
	return s.Listener.Addr().String()
}

func TestProxy(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	s, roots := secure(t, h)
	p := plain(t, h)
	untrusted := certificateServer(t, certificate(t, func(*x509Certificate) {}))
	var seen atomic.Int64
	proxyAddr := proxy(t, &seen)
	closed := closedPort(t)

	for name, c := range map[string]struct {
		proxy, url string
		code       string
		retry      aws.Ternary
		says       string
	}{
		"https":                      {proxy: "http://user:secret@" + proxyAddr, url: s.URL},
		"http":                       {proxy: "http://user:secret@" + proxyAddr, url: p.URL},
		"a wrong password":           {proxy: "http://user:wrong-secret@" + proxyAddr, url: s.URL, code: "ProxyRefused", retry: aws.FalseTernary, says: "407"},
		"an unreachable server":      {proxy: "http://user:secret@" + proxyAddr, url: "https://" + closed, code: "ProxyRefused", retry: aws.TrueTernary, says: "502"},
		"an untrusted server":        {proxy: "http://user:secret@" + proxyAddr, url: "https://" + untrusted, code: "CertificateNotTrusted", retry: aws.FalseTernary, says: "through the proxy"},
		"a proxy that is down":       {proxy: "http://user:secret@" + closed, url: s.URL, code: "ProxyUnreachable", retry: aws.TrueTernary, says: "refused"},
		"the same for http":          {proxy: "http://user:secret@" + closed, url: p.URL, code: "ProxyUnreachable", retry: aws.TrueTernary, says: "refused"},
		"a SOCKS proxy that is down": {proxy: "socks5://user:secret@" + closed, url: s.URL, code: "ProxyUnreachable", retry: aws.TrueTernary, says: "refused"},
		"a proxy of another scheme":  {proxy: "ftp://user:secret@" + closed, url: s.URL, code: "ProxyInvalid", retry: aws.FalseTernary},
		"a setting that is no URL":   {proxy: "http://user:secret@ bad", url: s.URL, code: "ProxyInvalid", retry: aws.FalseTernary},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, transport.Options{Roots: roots, Proxy: func(*url.URL) (*url.URL, error) { return url.Parse(c.proxy) }})
			before := seen.Load()
			if c.code != "ProxyInvalid" {
				require.NoError(t, client.Preconnect(context.Background(), parse(t, c.url)))
				require.Zero(t, client.Stats().Connections, "Preconnect does nothing")
			}
			body, err := get(t, client, c.url)
			if c.code == "" {
				require.NoError(t, err)
				require.Equal(t, "ok", body)
				require.Equal(t, before+1, seen.Load())
				return
			}
			requireCode(t, err, c.code)
			require.Equal(t, c.retry, retryable(err))
			require.ErrorContains(t, err, c.says)
			for e := err; e != nil; e = errors.Unwrap(e) {
				require.NotContains(t, e.Error(), "secret")
			}
		})
	}

	t.Run("none for this host", func(t *testing.T) {
		client := newClient(t, transport.Options{Roots: roots, Proxy: func(*url.URL) (*url.URL, error) { return nil, nil }})
		before := seen.Load()
		for _, u := range []string{s.URL, p.URL} {
			_, err := get(t, client, u)
			require.NoError(t, err)
		}
		require.Equal(t, before, seen.Load())
	})
}

func TestTLSToTheProxy(t *testing.T) {
	s, _ := secure(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	p, roots := secure(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "proxied ", r.URL.Host) }))
	client := newClient(t, transport.Options{Roots: roots, Proxy: func(*url.URL) (*url.URL, error) { return url.Parse(p.URL) }})
	body, err := get(t, client, "http://bucket.test")
	require.NoError(t, err)
	require.Equal(t, "proxied bucket.test", body)
	_, err = get(t, client, s.URL)
	requireCode(t, err, "NotTLS") // it answers CONNECT with 200 and then speaks plain text
}

func errorOf(_ *http.Response, err error) error { return err }
