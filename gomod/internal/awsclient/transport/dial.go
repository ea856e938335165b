package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/glowplug/glowplug/gomod/awserr"
)

// target is what a connection leads to.
type target struct {
	tls  bool
	addr string // host:port
}

// conn is a TCP connection that its Client knows of.
type conn struct {
	net.Conn
	client *Client
	ahead  bool // opened by Preconnect
}

func (k *conn) Close() error {
	k.client.mu.Lock()
	delete(k.client.conns, k)
	k.client.mu.Unlock()
	return k.Conn.Close()
}

// underlying is the conn in what connect returned, or nil.
func underlying(nc net.Conn) *conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	k, _ := nc.(*conn)
	return k
}

func isAhead(nc net.Conn) bool {
	k := underlying(nc)
	return k != nil && k.ahead
}

// recovered turns a panic into *err: in a goroutine nobody else would, and the
// Python process would end.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = &awserr.Error{
			Kind: awserr.Internal, Code: "Panic",
			Message: fmt.Sprintf("glowplug panicked while connecting: %v; please report this with its stack:\n%s", p, debug.Stack()),
		}
	}
}

// dial opens TCP for net/http, to servers and to proxies.
func (c *Client) dial(ctx context.Context, _, addr string) (nc net.Conn, err error) {
	defer recovered(&err)
	return c.open(ctx, target{addr: addr})
}

// dialTLS opens TLS for net/http where no CONNECT is needed.
func (c *Client) dialTLS(ctx context.Context, _, addr string) (nc net.Conn, err error) {
	defer recovered(&err)
	return c.open(ctx, target{tls: true, addr: addr})
}

// open takes over the connection of a Preconnect, or connects.
func (c *Client) open(ctx context.Context, to target) (net.Conn, error) {
	if !c.begin() {
		return nil, errClosed
	}
	defer c.work.Done()
	if nc := c.takeAhead(ctx, to); nc != nil {
		c.preconnected.Add(1)
		return nc, nil
	}
	return c.connect(ctx, to)
}

// connect does DNS, TCP and TLS, until ctx or the Client ends.
func (c *Client) connect(ctx context.Context, to target) (_ net.Conn, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if !to.tls {
		return c.connectTCP(ctx, to.addr)
	}
	store, err := c.roots()
	if err != nil {
		return nil, err
	}
	raw, err := c.connectTCP(ctx, to.addr)
	if err != nil {
		return nil, err
	}
	shaken := false
	defer func() {
		if !shaken {
			_ = raw.Close()
		}
	}()
	// net/http's dial contexts outlive the attempt, so the handshake needs its own time-out.
	limited, cancel := context.WithTimeout(ctx, c.opts.AttemptTimeout)
	defer cancel()
	t := tls.Client(raw, store.TLSConfig(to.addr))
	if err := t.HandshakeContext(limited); err != nil {
		if limited.Err() != nil && ctx.Err() == nil {
			return nil, &timeout{code: "AttemptTimeout", addr: to.addr, after: c.opts.AttemptTimeout}
		}
		return nil, &connectError{addr: to.addr, err: err}
	}
	shaken = true
	if t.ConnectionState().DidResume {
		c.resumed.Add(1)
	}
	return t, nil
}

func (c *Client) connectTCP(ctx context.Context, addr string) (net.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	nc, err := c.opts.DialContext(limited, "tcp", addr)
	if err != nil {
		if n, ok := errors.AsType[net.Error](err); ctx.Err() == nil && (limited.Err() != nil || ok && n.Timeout()) {
			return nil, &timeout{code: "ConnectTimeout", addr: addr, after: c.opts.ConnectTimeout}
		}
		return nil, &connectError{addr: addr, err: err}
	}
	c.connections.Add(1)
	if c.opts.OnConnect != nil {
		c.opts.OnConnect(ctx)
	}
	k := &conn{Conn: nc, client: c}
	c.mu.Lock()
	c.conns[k] = struct{}{}
	c.mu.Unlock()
	return k, nil
}

// preconn is a connection that Preconnect opens or has opened. At most one call
// of take gets it.
type preconn struct {
	done chan struct{} // closed when the outcome is known
	err  error         // the outcome, to read after done

	mu        sync.Mutex
	conn      net.Conn
	since     time.Time
	timer     *time.Timer // closes it when nobody takes it
	abandoned bool
}

// finish makes the outcome known.
func (p *preconn) finish(nc net.Conn, err error, idle time.Duration) {
	p.mu.Lock()
	unwanted := err == nil && p.abandoned
	switch {
	case unwanted:
		p.err = errAbandoned
	case err != nil:
		p.err = err
	default:
		p.conn, p.since = nc, time.Now()
		p.timer = time.AfterFunc(idle, p.abandon)
	}
	p.mu.Unlock()
	close(p.done)
	if unwanted {
		_ = nc.Close()
	}
}

// take hands the connection over, or nil.
func (p *preconn) take() net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	nc := p.conn
	p.conn = nil
	if p.timer != nil {
		p.timer.Stop()
	}
	return nc
}

// abandon closes the connection that nobody took, now or once it is there.
func (p *preconn) abandon() {
	p.mu.Lock()
	p.abandoned = true
	p.mu.Unlock()
	// Not under p.mu: Close takes the Client's, which is held when p.mu is taken.
	if nc := p.take(); nc != nil {
		_ = nc.Close()
	}
}

// usable reports whether p may still be taken: it is being opened, or open, young and alive.
func (p *preconn) usable(idle time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
	default:
		return !p.abandoned
	}
	return p.conn != nil && alive(p.conn, p.since, idle)
}

// alive reports whether nc, unused since then, is worth a request.
func alive(nc net.Conn, since time.Time, idle time.Duration) bool {
	// Round strips the monotonic clock, which stands still while a Lambda is frozen.
	if age := time.Now().Round(0).Sub(since.Round(0)); age < 0 || age > idle {
		return false
	}
	k := underlying(nc)
	if k == nil {
		return true
	}
	s, ok := k.Conn.(syscall.Conn)
	if !ok {
		return true
	}
	_, secure := nc.(*tls.Conn)
	return !closedByPeer(s, secure)
}

// errAbandoned is the outcome of a Preconnect that CloseIdleConnections overtook.
var errAbandoned = &awserr.Error{
	Kind: awserr.Connection, Code: "ConnectionReset", Retryable: true,
	Message: "the connection was closed while it was opened ahead: call again",
}

// Preconnect opens a connection to endpoint, DNS, TCP and TLS, which the next
// request to that host and port takes over; a request that comes before it is
// ready waits for it. It keeps at most one connection for each host and port,
// for Options.IdleTimeout, and does nothing if it has one that is alive, where a
// proxy applies, and for host names that are not ASCII.
//
// It returns when the connection is ready or failed, or when ctx is done; then
// the connection goes on being opened. The error is ctx's or one for [Classify].
func (c *Client) Preconnect(ctx context.Context, endpoint *url.URL) error {
	if endpoint == nil || endpoint.Host == "" || endpoint.Scheme != "https" && endpoint.Scheme != "http" {
		return &awserr.Error{
			Kind: awserr.Invalid, Code: "Endpoint",
			Message: "the endpoint to connect to is no http or https URL with a host: correct endpoint_url",
		}
	}
	to := target{tls: endpoint.Scheme == "https", addr: address(endpoint)}
	switch via, err := c.proxyFor(endpoint); {
	case err != nil:
		return &failure{addr: to.addr, err: err}
	case via != nil || !isASCII(to.addr): // net/http dials punycode
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	p, err := c.openAhead(to)
	if err != nil {
		return &failure{addr: to.addr, err: err}
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.err != nil {
		return &failure{addr: to.addr, err: p.err}
	}
	return nil
}

// openAhead returns the preconn for to, starting one where none is usable.
func (c *Client) openAhead(to target) (*preconn, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, errClosed
	}
	old := c.ahead[to]
	if old != nil && old.usable(c.opts.IdleTimeout) {
		c.mu.Unlock()
		return old, nil
	}
	p := &preconn{done: make(chan struct{})}
	c.ahead[to] = p
	c.work.Add(1)
	c.mu.Unlock()
	if old != nil {
		old.abandon()
	}
	go func() {
		defer c.work.Done()
		nc, err := c.connectAhead(to)
		p.finish(nc, err, c.opts.IdleTimeout)
	}()
	return p, nil
}

func (c *Client) connectAhead(to target) (nc net.Conn, err error) {
	defer recovered(&err)
	if nc, err = c.connect(c.ctx, to); err == nil {
		underlying(nc).ahead = true
	}
	return nc, err
}

// takeAhead returns a live connection that Preconnect opened, waiting for one
// that it is opening, or nil.
func (c *Client) takeAhead(ctx context.Context, to target) net.Conn {
	c.mu.Lock()
	p := c.ahead[to]
	delete(c.ahead, to)
	c.mu.Unlock()
	if p == nil {
		return nil
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.abandon()
		return nil
	}
	since := p.since
	nc := p.take()
	if nc == nil {
		return nil
	}
	if !alive(nc, since, c.opts.IdleTimeout) {
		_ = nc.Close()
		return nil
	}
	return nc
}

// hasAhead reports whether a request may meet a connection of Preconnect.
func (c *Client) hasAhead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ahead) > 0
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
