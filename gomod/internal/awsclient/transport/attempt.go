package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// errSilence is the cause with which an attempt is cancelled when its server is silent.
var errSilence = errors.New("no answer within the attempt's time-out")

// errEnded is the cause with which a finished attempt releases its context.
var errEnded = errors.New("the attempt has ended")

// attempt is one request from Do to the end of the response's body.
type attempt struct {
	client *Client
	outer  context.Context // the caller's
	addr   string          // host:port of the request
	proxy  string          // host of the proxy, or empty
	cancel context.CancelCauseFunc
	watch  *watch
}

// end releases what the attempt holds. It may be repeated.
func (a *attempt) end() {
	a.watch.stop()
	a.cancel(errEnded)
}

// roundTrip sends req, and again where it may have met a connection of
// Preconnect that was dead: net/http repeats only what met one of its own.
func (a *attempt) roundTrip(ctx context.Context, t *http.Transport, req *http.Request) (*http.Response, error) {
	if (req.Method != http.MethodGet && req.Method != http.MethodHead && req.Method != "") || hasBody(req) || !a.client.hasAhead() {
		return t.RoundTrip(a.observe(req.WithContext(ctx)))
	}
	var ahead bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		ahead = !info.Reused && isAhead(info.Conn)
	}})
	resp, err := t.RoundTrip(req.WithContext(traced))
	if err == nil || !ahead || ctx.Err() != nil {
		return resp, err
	}
	return t.RoundTrip(req.WithContext(ctx))
}

// failure is what the caller gets for err.
func (a *attempt) failure(err error) error {
	if outer := a.outer.Err(); outer != nil {
		return outer
	}
	if a.client.ctx.Err() != nil {
		err = errClosed
	} else if a.watch != nil && a.watch.silent() {
		a.client.attemptTimeouts.Add(1)
		a.client.CloseIdleConnections() // before the retry looks for one
		err = &timeout{code: "AttemptTimeout", addr: a.addr, after: a.client.opts.AttemptTimeout}
	}
	return &failure{addr: a.addr, proxy: a.proxy, err: err}
}

// observe lets each read of the request's body, which means that the server took
// what was read before, start the silence anew.
func (a *attempt) observe(req *http.Request) *http.Request {
	if !hasBody(req) {
		return req
	}
	req.Body = &sending{watch: a.watch, ReadCloser: req.Body}
	if get := req.GetBody; get != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			b, err := get()
			if err != nil {
				return nil, err
			}
			return &sending{watch: a.watch, ReadCloser: b}, nil
		}
	}
	return req
}

// sending is a request's body.
type sending struct {
	watch *watch
	io.ReadCloser
}

func (s *sending) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if n > 0 {
		s.watch.extend()
	}
	return n, err
}

// body is a response's body. The watch runs while a Read waits for bytes, not
// while the caller is busy with those it has.
type body struct {
	io.ReadCloser
	attempt *attempt
	err     error // the first, for all further Reads
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	a := b.attempt
	a.watch.resume()
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		a.watch.pause()
	}
	if err == nil {
		return n, nil
	}
	a.end()
	if err != io.EOF {
		err = a.failure(err)
	}
	b.err = err
	return n, err
}

func (b *body) Close() error {
	b.attempt.end()
	return b.ReadCloser.Close()
}

// watch calls fire, once, after it ran for d without a sign of life.
type watch struct {
	d    time.Duration
	fire func()

	mu       sync.Mutex
	timer    *time.Timer
	deadline time.Time
	running  bool
	stopped  bool
	fired    bool
}

// newWatch returns a watch that runs.
func newWatch(d time.Duration, fire func()) *watch {
	w := &watch{d: d, fire: fire, running: true, deadline: time.Now().Add(d)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(d, w.expire)
	return w
}

func (w *watch) expire() {
	w.mu.Lock()
	if w.stopped || !w.running {
		w.mu.Unlock()
		return
	}
	if left := time.Until(w.deadline); left > 0 { // extended since the timer was set
		w.timer.Reset(left)
		w.mu.Unlock()
		return
	}
	w.stopped, w.fired = true, true
	w.mu.Unlock()
	w.fire()
}

// extend gives a running watch its full time again.
func (w *watch) extend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = time.Now().Add(w.d)
}

// resume starts a paused watch with its full time. One that runs keeps what it has left.
func (w *watch) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || w.running {
		return
	}
	w.running = true
	w.deadline = time.Now().Add(w.d)
	w.timer.Reset(w.d)
}

func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = false
	w.timer.Stop()
}

// stop ends the watch for good.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

// silent reports whether the watch fired.
func (w *watch) silent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fired
}
