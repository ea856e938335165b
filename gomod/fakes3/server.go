package fakes3

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Server is a Handler behind a listener of this machine, in the manner of
// httptest.Server.
type Server struct {
	*Handler
	URL string // http://127.0.0.1:port, or https where TLS is set
	CA  []byte // PEM of the root to trust; nil without TLS

	http  *http.Server
	conns sync.WaitGroup
	ended chan struct{}
}

// NewServer starts a server. It fails on options that contradict themselves, on an
// address in use and on a CertDir that can't be written.
func NewServer(o Options) (*Server, error) {
	h, err := New(o)
	if err != nil {
		return nil, err
	}
	return h.Serve(h, o)
}

// Serve starts a server for root, a handler that passes requests on to h, such as
// one that adds a control endpoint. Of the options only the Server's own count.
func (h *Handler) Serve(root http.Handler, o Options) (*Server, error) {
	s := &Server{Handler: h, ended: make(chan struct{})}
	var config *tls.Config
	scheme := "http://"
	if o.TLS != NoTLS {
		var err error
		if config, s.CA, err = TLSConfig(o.TLS); err != nil {
			return nil, err
		}
		if o.CertDir != "" {
			if err := os.WriteFile(filepath.Join(o.CertDir, "ca.pem"), s.CA, 0o644); err != nil {
				return nil, err
			}
		}
		scheme = "https://"
	}
	ln, err := net.Listen("tcp", or(o.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, err
	}
	s.URL = scheme + ln.Addr().String()
	ln = &listener{Listener: ln, h: h, delay: o.ConnDelay}
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	s.http = &http.Server{
		Handler: root,
		// Handshakes that clients refuse are what some tests want: not news.
		ErrorLog:     log.New(io.Discard, "", 0),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn()
			}
			return context.WithValue(ctx, connKey{}, c.(*conn).number)
		},
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.conns.Done()
			}
		},
	}
	go func() {
		defer close(s.ended)
		s.http.Serve(ln)
	}()
	return s, nil
}

// Close stops listening, cuts all connections and waits until none is left.
func (s *Server) Close() {
	s.Handler.Close()
	s.http.Close()
	<-s.ended
	s.conns.Wait()
}

type connKey struct{}

// connNumber counts connections from 1; 0 where no Server runs.
func connNumber(r *http.Request) int64 {
	n, _ := r.Context().Value(connKey{}).(int64)
	return n
}

type listener struct {
	net.Listener
	h     *Handler
	delay time.Duration
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.h.conns.Add(1)
	number, hole := l.h.faults.open()
	return &conn{Conn: c, number: number, hole: hole, delay: l.delay, closed: make(chan struct{})}, nil
}

// conn delays its first read, or never reads.
type conn struct {
	net.Conn
	number int64
	hole   bool
	delay  time.Duration
	read   bool
	closed chan struct{}
	once   sync.Once
}

// NetConn returns the TCP connection.
func (c *conn) NetConn() net.Conn { return c.Conn }

func (c *conn) Read(b []byte) (int, error) {
	if c.hole {
		<-c.closed
		return 0, net.ErrClosed
	}
	if !c.read {
		c.read = true
		if c.delay > 0 {
			t := time.NewTimer(c.delay)
			defer t.Stop()
			select {
			case <-t.C:
			case <-c.closed:
				return 0, net.ErrClosed
			}
		}
	}
	return c.Conn.Read(b)
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
