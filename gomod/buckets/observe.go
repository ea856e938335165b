package buckets

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Stats counts what calls did. Those of a caller's own API count no requests,
// connections and bytes.
type Stats struct {
	Requests    int64         // sent, retries included
	Retries     int64         // of those, sent again after a failure
	Connections int64         // opened for these requests; one that Preconnect opened is not among them
	Bytes       int64         // of bodies received
	CacheHits   int64         // regions that were remembered from a look-up
	FirstByte   time.Duration // from the call's start to the head of its first answer; 0: none came
}

// Observation says what to do beside a call.
type Observation struct {
	// Log gets a line for each request, retry and source of a region, from several
	// goroutines. No line holds a secret. nil: nothing is said.
	Log func(line string)
	// TraceHeader goes along as X-Amzn-Trace-Id. Default: none.
	TraceHeader string
	// Answer gets the head of each answer, and its body where the answer is no success,
	// at most 1 MiB of it. nil: nobody wants to see.
	Answer func(head *http.Response, errorBody []byte)
}

// Call collects what one call does; see [Observe].
type Call struct {
	Observation
	began time.Time

	requests, retries, connections, bytes, cacheHits, firstByte atomic.Int64
}

type callKey struct{}

// Observe returns a context whose calls are observed and counted in the returned Call.
func Observe(ctx context.Context, o Observation) (context.Context, *Call) {
	c := &Call{Observation: o, began: time.Now()}
	return context.WithValue(ctx, callKey{}, c), c
}

// Stats returns the counts so far.
func (c *Call) Stats() Stats {
	return Stats{
		Requests: c.requests.Load(), Retries: c.retries.Load(), Connections: c.connections.Load(),
		Bytes: c.bytes.Load(), CacheHits: c.cacheHits.Load(), FirstByte: time.Duration(c.firstByte.Load()),
	}
}

// Observed returns the Call that [Observe] made for ctx; where there is none, one
// that is shared by all and may not be changed.
func Observed(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &unobserved
}

var unobserved Call

func (c *Call) logf(format string, args ...any) {
	if c.Log != nil {
		c.Log(fmt.Sprintf(format, args...))
	}
}

// meter counts the requests of its HTTP client for the calls that they belong to.
type meter struct{ aws.HTTPClient }

func (m meter) Do(r *http.Request) (*http.Response, error) {
	c := Observed(r.Context())
	c.requests.Add(1)
	var began time.Time
	if c.Log != nil {
		began = time.Now()
	}
	if c.TraceHeader != "" {
		r.Header.Set("X-Amzn-Trace-Id", c.TraceHeader)
	}
	resp, err := m.HTTPClient.Do(r)
	if err == nil {
		if c.firstByte.Load() == 0 && !c.began.IsZero() {
			c.firstByte.CompareAndSwap(0, int64(max(1, time.Since(c.began))))
		}
		if resp.Body != http.NoBody {
			resp.Body = &counted{resp.Body, c}
		}
		if c.Answer != nil {
			c.show(resp)
		}
	}
	if c.Log != nil {
		took := time.Since(began).Round(10 * time.Microsecond)
		if err != nil {
			c.logf("%s %s%s failed after %s: %v", r.Method, r.URL.Host, r.URL.Path, took, err)
		} else {
			c.logf("%s %s%s answered %d in %s, request id %q", r.Method, r.URL.Host, r.URL.Path, resp.StatusCode, took, resp.Header.Get("X-Amz-Request-Id"))
		}
	}
	return resp, err
}

// show hands out a copy of the answer's error and leaves it to be read again.
func (c *Call) show(resp *http.Response) {
	var body []byte
	if resp.StatusCode >= 300 && resp.Body != http.NoBody {
		// A failure to read meets the next reader again, who can say so.
		body, _ = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
	}
	c.Answer(resp, body)
}

type counted struct {
	io.ReadCloser
	call *Call
}

func (b *counted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.call.bytes.Add(int64(n))
	return n, err
}
