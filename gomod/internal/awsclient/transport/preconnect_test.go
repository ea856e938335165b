package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/transport"
)

func TestPreconnect(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	s, roots := secure(t, h)
	for name, base := range map[string]string{"https": s.URL, "http": plain(t, h).URL} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, transport.Options{Roots: roots})
			for range 3 {
				require.NoError(t, c.Preconnect(context.Background(), parse(t, base)))
			}
			require.Equal(t, transport.Stats{Connections: 1}, c.Stats(), "one is enough")
			for range 3 {
				body, err := get(t, c, base)
				require.NoError(t, err)
				require.Equal(t, "ok", body)
			}
			require.Equal(t, transport.Stats{Requests: 3, Connections: 1, Preconnected: 1}, c.Stats())

			require.NoError(t, c.Preconnect(context.Background(), parse(t, base)))
			c.CloseIdleConnections()
			_, err := get(t, c, base)
			require.NoError(t, err)
			require.EqualValues(t, 3, c.Stats().Connections, "after CloseIdleConnections nothing is taken over")
		})
	}
}

func TestPreconnectRefuses(t *testing.T) {
	c := newClient(t, transport.Options{})
	for _, u := range []*url.URL{nil, {}, {Scheme: "https"}, {Scheme: "ftp", Host: "a.test"}, {Host: "a.test"}} {
		require.ErrorIs(t, c.Preconnect(context.Background(), u), awserr.Invalid)
	}
	require.NoError(t, c.Preconnect(context.Background(), &url.URL{Scheme: "https", Host: "bücket.test"}))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.Equal(t, context.Canceled, c.Preconnect(ctx, parse(t, "https://bucket.test")))
	requireCode(t, c.Preconnect(context.Background(), parse(t, "http://"+closedPort(t))), "ConnectionRefused")
}

// TestPreconnectFoundDead has the connection end between Preconnect and the request.
func TestPreconnectFoundDead(t *testing.T) {
	cert := certificate(t, func(*x509Certificate) {})
	var end func(raw, conn net.Conn)
	var ready, ended chan struct{}
	serve := func(secured bool) func(n int, conn net.Conn) {
		return func(n int, raw net.Conn) {
			conn := raw
			if secured {
				s := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}})
				if s.Handshake() != nil {
					return
				}
				conn = s
			}
			if n == 1 {
				<-ready
				close(ended)
				end(raw, conn)
				return
			}
			for head(conn) {
				_, _ = io.WriteString(conn, ok)
			}
		}
	}
	for _, scheme := range []string{"http", "https"} {
		for name, e := range map[string]struct {
			end  func(raw, conn net.Conn)
			wait bool // for the end before the request
		}{
			"closed":                {func(raw, _ net.Conn) { _ = raw.Close() }, true},
			"closed with a goodbye": {func(_, conn net.Conn) { _ = conn.Close() }, true},
			"half closed":           {func(raw, _ net.Conn) { _ = raw.(*net.TCPConn).CloseWrite(); hold(raw) }, true},
			"reset":                 {func(raw, _ net.Conn) { reset(raw) }, true},
			"reset by the request":  {func(raw, conn net.Conn) { _, _ = conn.Read(make([]byte, 1)); reset(raw) }, false},
			"closed by the request": {func(raw, conn net.Conn) { _, _ = conn.Read(make([]byte, 1)); _ = raw.Close() }, false},
		} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				end, ready, ended = e.end, make(chan struct{}), make(chan struct{})
				addr := listen(t, serve(scheme == "https"))
				c := newClient(t, transport.Options{Roots: trust(cert.Leaf)})
				require.NoError(t, c.Preconnect(context.Background(), parse(t, scheme+"://"+addr)))
				close(ready)
				if e.wait {
					<-ended
					time.Sleep(20 * time.Millisecond)
				}
				body, err := get(t, c, scheme+"://"+addr)
				require.NoError(t, err)
				require.Equal(t, "ok", body)
				want := int64(1)
				if e.wait {
					want = 0
				}
				require.Equal(t, transport.Stats{Requests: 1, Connections: 2, Preconnected: want, Resumed: c.Stats().Resumed}, c.Stats())
			})
		}
	}
}

func TestPreconnectGrowsOld(t *testing.T) {
	var closed atomic.Int64
	addr := listen(t, func(_ int, conn net.Conn) {
		defer closed.Add(1)
		for head(conn) {
			_, _ = io.WriteString(conn, ok)
		}
	})
	c := newClient(t, transport.Options{IdleTimeout: 50 * time.Millisecond})
	require.NoError(t, c.Preconnect(context.Background(), parse(t, "http://"+addr)))
	require.Eventually(t, func() bool { return closed.Load() == 1 }, 5*time.Second, 5*time.Millisecond, "closed though nobody asked for it")
	_, err := get(t, c, "http://"+addr)
	require.NoError(t, err)
	require.Equal(t, transport.Stats{Requests: 1, Connections: 2}, c.Stats())
}

func TestDoJoinsPreconnect(t *testing.T) {
	s := plain(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	for name, failed := range map[string]error{"that succeeds": nil, "that fails": errors.New("no")} {
		t.Run("one "+name, func(t *testing.T) {
			dialing, gate := make(chan struct{}), make(chan struct{})
			var dials atomic.Int64
			c := newClient(t, transport.Options{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dials.Add(1) == 1 {
					close(dialing)
					<-gate
					if failed != nil {
						return nil, failed
					}
				}
				return new(net.Dialer).DialContext(ctx, network, addr)
			}})
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := c.Preconnect(context.Background(), parse(t, s.URL)); (err == nil) != (failed == nil) {
					t.Error(err)
				}
			})
			<-dialing
			wg.Go(func() {
				if body, err := get(t, c, s.URL); err != nil || body != "ok" {
					t.Error(body, err)
				}
			})
			time.Sleep(50 * time.Millisecond)
			require.EqualValues(t, 1, dials.Load(), "the request waits for Preconnect")
			_, err := get(t, c, s.URL)
			require.NoError(t, err, "a second request does not")
			close(gate)
			wg.Wait()
		})
	}
}

func TestPreconnectOutlivesItsContext(t *testing.T) {
	s := plain(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	gate := make(chan struct{})
	c := newClient(t, transport.Options{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		<-gate
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	require.Equal(t, context.DeadlineExceeded, c.Preconnect(ctx, parse(t, s.URL)))
	close(gate)
	_, err := get(t, c, s.URL)
	require.NoError(t, err)
	require.Equal(t, transport.Stats{Requests: 1, Connections: 1, Preconnected: 1}, c.Stats())
}

// TestEverythingAtOnce is for the race detector and goleak.
func TestEverythingAtOnce(t *testing.T) {
	s, roots := secure(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	c := newClient(t, transport.Options{Roots: roots})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 30 {
				switch i % 4 {
				case 0:
					if err := c.Preconnect(context.Background(), parse(t, s.URL)); err != nil {
						requireCode(t, err, "ConnectionReset")
					}
				case 1:
					c.CloseIdleConnections()
					_ = c.Stats()
				default:
					if _, err := get(t, c, s.URL); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}
