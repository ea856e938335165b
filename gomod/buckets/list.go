package buckets

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/glowplug/glowplug/gomod/awserr"
)

// Query says what to list. The zero Query lists everything.
type Query struct {
	Prefix string // buckets whose name begins so; empty: all
	Region string // buckets of this region; empty: all
	Limit  int    // at most so many, counted after filtering; 0: no limit
	// PageSize is the number of buckets asked for in one request, 1 to 10,000.
	// Default: 10,000 for List, 1,000 for Pages.
	PageSize int
}

// Bucket is one bucket of a listing.
type Bucket struct {
	Name    string
	Region  string    // empty exactly when Err is set
	Created time.Time // UTC; S3 moves it when the bucket's policy is edited
	Err     error     // an *Error: why the region is not known

	gone bool // deleted since the listing
}

// Listing is the result of List.
type Listing struct {
	Buckets []Bucket // in the order of the server's listing
	// Truncated tells that Query.Limit ended the listing ahead of the server's end.
	Truncated bool
}

// Page is a part of a listing.
type Page struct {
	Buckets   []Bucket
	Truncated bool // as in Listing; true on the last page only
}

// The sizes of a page. Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html
const (
	maxPage    = 10_000
	streamPage = 1_000
	readAhead  = 2   // pages fetched ahead of the one that the caller waits for
	emptyPages = 100 // empty pages in a row with a token: the server does not come to an end
)

// List lists the buckets that q asks for. On an error the listing is empty: part
// of a listing is never shown as the whole. For what goes wrong with one bucket
// alone see Bucket.Err. A bucket that was deleted between listing and look-up is left out.
func (l *Lister) List(ctx context.Context, q Query) (Listing, error) {
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	q.PageSize = orDefault(q.PageSize, maxPage)
	var listing Listing
	for page, err := range l.pages(ctx, q, 0) {
		if err != nil {
			return Listing{}, err
		}
		if listing.Buckets == nil {
			listing.Buckets = page.Buckets
		} else {
			listing.Buckets = append(listing.Buckets, page.Buckets...)
		}
		listing.Truncated = page.Truncated
	}
	return listing, nil
}

// Pages lists as [Lister.List] does, page by page while later ones are being
// fetched. An error ends the sequence, after the pages that came before it.
// The deadline of ctx bounds the whole; without one, each page may take Options.Timeout.
func (l *Lister) Pages(ctx context.Context, q Query) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		perPage := time.Duration(0)
		if _, ok := ctx.Deadline(); !ok {
			perPage = l.timeout
		}
		q.PageSize = orDefault(q.PageSize, streamPage)
		l.pages(ctx, q, perPage)(yield)
	}
}

// isRegion accepts what may be a region's name: 1 to 63 of a-z, 0-9 and "-".
func isRegion(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

func (q *Query) check() error {
	bad := func(format string, args ...any) error {
		return &Error{Kind: awserr.Invalid, Code: "InvalidQuery", Operation: "ListBuckets", Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case q.Limit < 0:
		return bad("the limit %d is negative: give 1 or more, or none", q.Limit)
	case q.PageSize < 1 || q.PageSize > maxPage:
		return bad("the page size %d is outside 1 to %d", q.PageSize, maxPage)
	case q.Region != "" && !isRegion(q.Region):
		return bad("%.64q is no region: give one like eu-central-1", q.Region)
	}
	return nil
}

// pages is the listing. The first page is fetched here; only where more is to be
// done do a producer and look-ups run beside the caller.
func (l *Lister) pages(ctx context.Context, q Query, perPage time.Duration) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		if err := q.check(); err != nil {
			yield(Page{}, err)
			return
		}
		w := &walk{l: l, q: q, perPage: perPage}
		w.ctx, w.cancel = context.WithCancelCause(ctx)
		defer w.wait.Wait()
		defer w.cancel(nil)

		watch := w.watch()
		first, err := w.fetch(nil)
		watch.Stop()
		if err != nil {
			yield(Page{}, err)
			return
		}
		if len(first.unknown) == 0 && first.isLast() {
			w.settle(first)
			w.emit(first, yield)
			return
		}
		ready := make(chan *pending, readAhead)
		w.start(func() {
			defer close(ready)
			w.produce(first, ready)
		})
		for {
			p, err := w.await(ready)
			if err != nil {
				yield(Page{}, err)
				return
			}
			if p == nil || !w.emit(p, yield) {
				return
			}
		}
	}
}

// walk is one listing under way.
type walk struct {
	l       *Lister
	q       Query
	perPage time.Duration // how long the caller waits for one page; 0: as long as ctx lives
	ctx     context.Context
	cancel  context.CancelCauseFunc
	wait    sync.WaitGroup

	kept    int             // by the producer: buckets that passed the filters so far
	empty   int             // by the producer: empty pages in a row
	seen    map[string]bool // by the producer: continuation tokens
	emitted int             // by the caller
}

// pending is a page whose regions are being looked up.
type pending struct {
	buckets []Bucket
	unknown []int          // indices of buckets whose region is to be looked up
	rest    []types.Bucket // what the server sent beyond what was asked for
	next    *string        // the continuation token
	err     error
	ready   chan struct{} // closed when the look-ups are done
}

func (p *pending) isLast() bool { return p.next == nil && len(p.rest) == 0 }

// start runs f beside the caller; a panic in it ends the walk with an InternalError
// and not the process.
func (w *walk) start(f func()) {
	w.wait.Add(1)
	go func() {
		defer w.wait.Done()
		defer func() {
			if r := recover(); r != nil {
				w.cancel(panicked(r))
			}
		}()
		f()
	}()
}

func panicked(r any) *Error {
	return &Error{Kind: awserr.Internal, Code: "Panic", Message: fmt.Sprintf("glowplug panicked, please report it: %v\n%s", r, debug.Stack())}
}

// watch ends the walk when a page takes longer than perPage.
func (w *walk) watch() interface{ Stop() bool } {
	if w.perPage == 0 {
		return noWatch{}
	}
	return time.AfterFunc(w.perPage, func() { w.cancel(context.DeadlineExceeded) })
}

type noWatch struct{}

func (noWatch) Stop() bool { return true }

// produce fetches pages ahead of the caller and has their regions looked up.
func (w *walk) produce(p *pending, ready chan<- *pending) {
	for {
		w.lookUp(p)
		select {
		case ready <- p:
		case <-w.ctx.Done():
			return
		}
		if p.err != nil || p.isLast() || w.enough(p) {
			return
		}
		if len(p.rest) > 0 {
			p = w.page(p.rest, p.next)
			continue
		}
		next, err := w.fetch(p.next)
		if err != nil {
			next = &pending{err: err, ready: make(chan struct{})}
		}
		p = next
	}
}

// lookUp starts the look-ups of p.
func (w *walk) lookUp(p *pending) {
	if len(p.unknown) == 0 {
		w.settle(p)
		return
	}
	w.start(func() {
		defer w.settle(p)
		w.l.each(w.ctx, len(p.unknown), w.cancel, func(i int) { w.resolve(&p.buckets[p.unknown[i]]) })
	})
}

// settle leaves in p what the caller wants of it; nobody changes it after.
func (w *walk) settle(p *pending) {
	wanted := p.buckets[:0]
	for i := range p.buckets {
		if w.wanted(&p.buckets[i]) {
			wanted = append(wanted, p.buckets[i])
		}
	}
	p.buckets = wanted
	close(p.ready)
}

// enough waits, under a limit, for what p comes to: no request is sent for
// buckets that the caller does not want.
func (w *walk) enough(p *pending) bool {
	if w.q.Limit == 0 {
		return false
	}
	select {
	case <-p.ready:
	case <-w.ctx.Done():
		return true
	}
	w.kept += len(p.buckets)
	return w.kept >= w.q.Limit
}

// fetch asks for the page at token.
func (w *walk) fetch(token *string) (*pending, error) {
	asked := w.size()
	out, err := w.request(token, asked)
	if err == nil && w.cutShort(out, asked) {
		out, err = w.request(token, maxPage)
	}
	if err != nil {
		return nil, classify(w.ctx, "ListBuckets", "", err)
	}
	next := out.ContinuationToken
	if aws.ToString(next) == "" {
		next = nil
	}
	if len(out.Buckets) > 0 {
		w.empty = 0
	} else if w.empty++; next != nil && w.empty == emptyPages {
		return nil, endless("the server sends empty pages without an end")
	}
	if next != nil {
		if w.seen[*next] {
			return nil, endless("the server repeats a continuation token")
		}
		if w.seen == nil {
			w.seen = make(map[string]bool)
		}
		w.seen[strings.Clone(*next)] = true
	}
	return w.page(out.Buckets, next), nil
}

func (w *walk) request(token *string, size int) (*s3.ListBucketsOutput, error) {
	input := &s3.ListBucketsInput{ContinuationToken: token, MaxBuckets: aws.Int32(int32(size))}
	if w.q.Prefix != "" {
		input.Prefix = aws.String(w.q.Prefix)
	}
	var options []func(*s3.Options)
	if w.q.Region != "" && w.l.regional {
		// The filter is only valid at an endpoint of that region.
		input.BucketRegion = aws.String(w.q.Region)
		options = append(options, func(o *s3.Options) { o.Region = w.q.Region })
	}
	return w.l.api.ListBuckets(w.ctx, input, options...)
}

// cutShort tells whether a server other than AWS may have cut the listing
// without giving a token, as moto does: the page is full and nothing follows.
func (w *walk) cutShort(out *s3.ListBucketsOutput, asked int) bool {
	overLimit := w.q.Limit > 0 && len(out.Buckets) > w.q.Limit-w.kept
	return !w.l.regional && asked < maxPage && len(out.Buckets) == asked && aws.ToString(out.ContinuationToken) == "" && !overLimit
}

func endless(what string) *Error {
	return &Error{Kind: awserr.Response, Code: "EndlessListing", Operation: "ListBuckets",
		Message: what + ", so the listing can't be finished: report it to the server's maker, or list by prefix"}
}

// size is how many buckets to ask for: where none will be filtered out here, what
// the limit leaves, and one more to know whether the listing goes on.
func (w *walk) size() int {
	if w.q.Limit == 0 || w.q.Region != "" && !w.l.regional {
		return w.q.PageSize
	}
	return min(w.q.PageSize, w.q.Limit-w.kept+1)
}

// page takes as many of the sent buckets as are wanted next, and the regions that are told or remembered.
func (w *walk) page(sent []types.Bucket, next *string) *pending {
	p := &pending{next: next, ready: make(chan struct{})}
	if w.q.Limit > 0 {
		// Under a filter some will fall out: look up a round at a time.
		take := w.q.Limit - w.kept
		if w.q.Region != "" {
			take = max(take, int(w.l.gate.most))
		}
		if take < len(sent) {
			sent, p.rest = sent[:take], sent[take:]
		}
	}
	p.buckets = make([]Bucket, len(sent))
	hits := 0
	for i, b := range sent {
		out := &p.buckets[i]
		out.Name = aws.ToString(b.Name)
		// What is no region counts as not told.
		if region := aws.ToString(b.BucketRegion); isRegion(region) {
			out.Region = region
		}
		if b.CreationDate != nil {
			out.Created = b.CreationDate.UTC()
		}
		if out.Region != "" {
			continue
		}
		if region, ok := w.l.cache.get(w.key(out)); ok {
			out.Region = region
			hits++
			continue
		}
		p.unknown = append(p.unknown, i)
	}
	c := Observed(w.ctx)
	c.cacheHits.Add(int64(hits))
	c.logf("page of %d buckets: %d regions told, %d remembered, %d to look up", len(sent), len(sent)-hits-len(p.unknown), hits, len(p.unknown))
	return p
}

func (w *walk) key(b *Bucket) cacheKey {
	key := cacheKey{scope: w.l.scope, name: b.Name}
	if !b.Created.IsZero() {
		key.created = b.Created.UnixNano()
	}
	return key
}

// resolve looks up b's region.
func (w *walk) resolve(b *Bucket) {
	region, err := w.l.resolve(w.ctx, b.Name)
	switch {
	case err == nil:
		b.Region = region
		key := w.key(b)
		key.name = strings.Clone(key.name) // the name shares its page's memory
		w.l.cache.put(key, region)
	case err.Kind == awserr.NotFound:
		b.gone = true
	default:
		b.Err = err
		fatal(err, w.cancel)
	}
}

// wanted tells whether b belongs to the result. Where the region is not known
// under a filter, b stays, with its error: it may be one of those asked for.
func (w *walk) wanted(b *Bucket) bool {
	return !b.gone && (w.q.Region == "" || b.Region == w.q.Region || b.Err != nil)
}

// await returns the next page with its look-ups done, nil at the listing's end.
func (w *walk) await(ready <-chan *pending) (*pending, error) {
	watch := w.watch()
	defer watch.Stop()
	p, more := <-ready
	if more && p.err != nil {
		return nil, p.err
	}
	if more {
		<-p.ready
	}
	// A look-up that was cut off has left its bucket without region and error.
	if cause := context.Cause(w.ctx); cause != nil {
		return nil, ended(&Error{Operation: "ListBuckets"}, cause)
	}
	return p, nil
}

// emit hands p to the caller and tells whether to go on.
func (w *walk) emit(p *pending, yield func(Page, error) bool) bool {
	page, more, full := Page{Buckets: p.buckets}, !p.isLast(), false
	if w.q.Limit > 0 {
		if left := w.q.Limit - w.emitted; len(page.Buckets) > left {
			page.Buckets, more = page.Buckets[:left], true
		}
		w.emitted += len(page.Buckets)
		full = w.emitted == w.q.Limit
	}
	page.Truncated = full && more
	return len(page.Buckets) == 0 || yield(page, nil) && !full
}
