// Package transport is the HTTP client under every AWS client of glowplug:
// net/http's connection pool with a cheap cold start, connections that can be
// opened ahead, and time-outs that hold.
//
//	client := transport.New(transport.Options{})
//	defer client.Close()
//	go client.Preconnect(ctx, endpoint) // DNS, TCP and TLS while the rest starts
//	...
//	s3.New(s3.Options{HTTPClient: client, ...})
package transport

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/truststore"
)

// Options are the settings of a [Client]. The zero value works.
type Options struct {
	// ConnectTimeout bounds DNS and TCP of one connection. Default 1 s, also for values below zero.
	ConnectTimeout time.Duration
	// AttemptTimeout is the longest silence of the server in one attempt: from
	// Do to the response's head, connecting included, and then in each Read of
	// its body until bytes come. Bytes of the request's body that were sent count
	// as life. It also bounds a TLS handshake. Default 2 s, also for values below zero.
	AttemptTimeout time.Duration
	// IdleTimeout is the age at which an unused connection is closed. Default 60 s, also for values below zero.
	IdleTimeout time.Duration
	// MaxIdlePerHost is the number of unused connections kept for each host: as
	// many as run at once, or a fan-out connects anew each time. Default 32, also for values below zero.
	MaxIdlePerHost int
	// Roots returns the trust store. It is called once, at the first https
	// connection. Default truststore.System without an environment.
	Roots func() (*truststore.Store, error)
	// Proxy returns the proxy for a URL (http, https, socks5 or socks5h), or nil
	// for none. TLS through a proxy is verified by crypto/tls with all of Roots
	// parsed. Default none.
	Proxy func(*url.URL) (*url.URL, error)
	// DialContext opens TCP connections, to hosts and proxies. Default net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// LoopbackOnly refuses all other addresses with an error of code [CodeOffline],
	// before a name is looked up; proxies and what is behind them count alike.
	// Where DialContext is given, the address that localhost stands for is its own matter.
	LoopbackOnly bool
	// OnConnect is called when a connection was opened, with a context that has the
	// values of the request that asked for it. Default none.
	OnConnect func(ctx context.Context)
}

// Stats counts what a [Client] did since New.
type Stats struct {
	Requests        int64 // calls of Do
	Connections     int64 // connections opened, those of Preconnect included
	Resumed         int64 // of those not through a proxy, TLS sessions resumed
	Preconnected    int64 // requests that took over a connection of Preconnect
	AttemptTimeouts int64 // attempts given up for the server's silence
}

// Client sends requests over HTTP/1.1. It follows no redirect, decodes no
// Content-Encoding and keeps no cookies. It is safe for concurrent use; make it
// with [New] and end it with [Client.Close].
type Client struct {
	opts   Options
	direct *http.Transport
	roots  func() (*truststore.Store, error)
	tunnel func() (*http.Transport, error) // for https through a proxy

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	tunnels *http.Transport     // what tunnel made
	conns   map[*conn]struct{}  // open
	ahead   map[target]*preconn // opened by Preconnect, or being opened
	work    sync.WaitGroup      // dials and Preconnects; added to under mu, before closed

	requests, connections, resumed, preconnected, attemptTimeouts atomic.Int64
}

// errClosed is what a closed Client answers with.
var errClosed = &awserr.Error{
	Kind: awserr.Invalid, Code: "ClientClosed",
	Message: "the client is closed: make a new one",
}

// New returns a Client. Nothing is opened, read or started before it is used.
func New(o Options) *Client {
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = time.Second
	}
	if o.AttemptTimeout <= 0 {
		o.AttemptTimeout = 2 * time.Second
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = time.Minute
	}
	if o.MaxIdlePerHost <= 0 {
		o.MaxIdlePerHost = 32
	}
	if o.Roots == nil {
		o.Roots = func() (*truststore.Store, error) { return truststore.System(nil) }
	}
	if o.DialContext == nil {
		o.DialContext = new(net.Dialer).DialContext
		if o.LoopbackOnly {
			o.DialContext = loopbackDialer().DialContext
		}
	}
	c := &Client{
		opts:  o,
		roots: sync.OnceValues(o.Roots),
		conns: make(map[*conn]struct{}),
		ahead: make(map[target]*preconn),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.direct = c.newTransport()
	c.direct.DialTLSContext = c.dialTLS
	c.direct.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme == "https" || o.Proxy == nil {
			return nil, nil // Do sent it here because no proxy applies
		}
		return o.Proxy(r.URL)
	}
	c.tunnel = sync.OnceValues(c.newTunnel)
	return c
}

// newTransport is what direct and proxied requests have in common.
func (c *Client) newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            c.dial,
		Protocols:              protocols,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    c.opts.MaxIdlePerHost,
		IdleConnTimeout:        c.opts.IdleTimeout,
		TLSHandshakeTimeout:    c.opts.AttemptTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		ReadBufferSize:         4 << 10, // a head fits; a body's Read passes it by
		WriteBufferSize:        4 << 10,
	}
}

// newTunnel makes the transport that CONNECTs through a proxy: net/http does TLS itself there.
func (c *Client) newTunnel() (*http.Transport, error) {
	store, err := c.roots()
	if err != nil {
		return nil, err
	}
	pool, err := store.Pool()
	if err != nil {
		return nil, err
	}
	t := c.newTransport()
	t.TLSClientConfig = store.TLSConfig("")
	t.TLSClientConfig.RootCAs = pool
	t.TLSClientConfig.InsecureSkipVerify = false
	t.TLSClientConfig.VerifyConnection = nil
	t.Proxy = func(r *http.Request) (*url.URL, error) { return c.opts.Proxy(r.URL) }
	t.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return &proxyRefusal{proxy: proxy.Host, status: resp.StatusCode}
		}
		return nil
	}
	c.mu.Lock()
	c.tunnels = t
	c.mu.Unlock()
	return t, nil
}

// route returns the transport for u and the host of the proxy that applies to it.
func (c *Client) route(u *url.URL) (t *http.Transport, proxy string, err error) {
	via, err := c.proxyFor(u)
	if err != nil {
		return nil, "", err
	}
	if via == nil {
		return c.direct, "", nil
	}
	if u.Scheme != "https" {
		return c.direct, via.Host, nil
	}
	t, err = c.tunnel()
	return t, via.Host, err
}

func (c *Client) proxyFor(u *url.URL) (*url.URL, error) {
	if err := c.refuse(u, nil); err != nil || c.opts.Proxy == nil {
		return nil, err
	}
	via, err := c.opts.Proxy(u)
	if err != nil {
		// Its cause quotes the setting, password and all.
		return nil, &awserr.Error{
			Kind: awserr.Invalid, Code: "ProxyInvalid",
			Message: "the proxy for " + u.Host + " is no URL: correct HTTPS_PROXY or HTTP_PROXY",
		}
	}
	if via == nil {
		return nil, nil
	}
	switch via.Scheme {
	case "http", "https", "socks5", "socks5h":
		return via, c.refuse(u, via)
	}
	return nil, &awserr.Error{
		Kind: awserr.Invalid, Code: "ProxyInvalid",
		Message: "the proxy for " + u.Host + " has a scheme other than http, https, socks5 and socks5h: correct HTTPS_PROXY or HTTP_PROXY",
	}
}

// Do sends req and returns the response, whose body the caller closes. Where the
// body is not read to its end, the connection is closed with it.
//
// Once the context of req is done, the error is that context's. Any other error
// is one for [Classify], a net.Error and says to aws-sdk-go-v2 whether it may be
// retried. After an attempt time-out all unused connections are closed, for they
// may be as dead: a Lambda that was frozen has them. Requests without a body are
// sent again, once, if a connection turns out to be closed, as net/http does.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	if req.URL == nil {
		closeBody(req)
		return nil, &awserr.Error{Kind: awserr.Invalid, Code: "NoURL", Message: "the request has no URL"}
	}
	a := &attempt{client: c, outer: req.Context(), addr: address(req.URL)}
	t, proxy, err := c.route(req.URL)
	if err != nil {
		closeBody(req)
		return nil, a.failure(err)
	}
	a.proxy = proxy
	ctx, cancel := context.WithCancelCause(a.outer)
	a.cancel = cancel
	a.watch = newWatch(c.opts.AttemptTimeout, func() { cancel(errSilence) })

	resp, err := a.roundTrip(ctx, t, req)
	if err != nil {
		a.end()
		return nil, a.failure(err)
	}
	resp.Request = req
	if resp.Body == http.NoBody {
		a.end()
		return resp, nil
	}
	a.watch.pause()
	resp.Body = &body{attempt: a, ReadCloser: resp.Body}
	return resp, nil
}

// CloseIdleConnections closes all connections that no request uses, those of
// Preconnect included, for instance before a snapshot of the process.
func (c *Client) CloseIdleConnections() {
	c.direct.CloseIdleConnections()
	c.mu.Lock()
	tunnels := c.tunnels
	ahead := c.ahead
	c.ahead = make(map[target]*preconn)
	c.mu.Unlock()
	if tunnels != nil {
		tunnels.CloseIdleConnections()
	}
	for _, p := range ahead {
		p.abandon()
	}
}

// Close closes all connections, also those in use, and waits for what the Client
// started. Calls that run fail; later ones do so at once. It may be repeated.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.CloseIdleConnections()
	c.work.Wait()
	c.mu.Lock()
	open := make([]*conn, 0, len(c.conns))
	for k := range c.conns {
		open = append(open, k)
	}
	c.mu.Unlock()
	for _, k := range open {
		_ = k.Close()
	}
}

// Stats returns what c did so far.
func (c *Client) Stats() Stats {
	return Stats{
		Requests:        c.requests.Load(),
		Connections:     c.connections.Load(),
		Resumed:         c.resumed.Load(),
		Preconnected:    c.preconnected.Load(),
		AttemptTimeouts: c.attemptTimeouts.Load(),
	}
}

// begin reports whether work may be started; the caller calls work.Done after it.
func (c *Client) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.work.Add(1)
	}
	return !c.closed
}

// address is host:port of u, as net/http dials it.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
