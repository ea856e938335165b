// Package bridge is what crosses between Go and Python: ids of clients and calls,
// requests and answers as one string each, errors as JSON, panics as errors.
//
// A request is fields joined by the unit separator; an option is a field
// "name=value", an environment variable "$NAME=value". Python chooses the ids of
// calls, so that it can cancel one whose answer it never saw.
//
// An answer's first byte tells its state: P, the call goes on and Wait asks
// again; M, a part, more follows; D, the end. The last records of an end are the
// call's counts and, where asked for, its log; an error's JSON holds them too.
package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/buckets"
	"github.com/glowplug/glowplug/gomod/internal/version"
)

const (
	unit   = "\x1f" // between fields
	record = "\x1e" // between the parts of an answer
)

// pendingAnswer tells that the slice passed before the answer came.
const pendingAnswer = "P"

var table = struct {
	sync.Mutex
	last    int64
	clients map[int64]*client
	calls   map[int64]*call
}{clients: map[int64]*client{}, calls: map[int64]*call{}}

// client is what Open made.
type client struct {
	lister *buckets.Lister
	ctx    context.Context
	cancel context.CancelCauseFunc
	calls  sync.WaitGroup // what runs for this client

	mu    sync.Mutex
	warm  *warmUp       // the latest preconnect; nil: none yet
	total buckets.Stats // of the calls that have ended
}

// warmUp is one preconnect.
type warmUp struct {
	done chan struct{}
	err  error // read after done
}

// call is one operation under way.
type call struct {
	id      int64
	cancel  context.CancelCauseFunc
	answers chan answer   // has room for a part and the end, so the end never waits
	part    chan struct{} // holds one while a part is not fetched
	told    *notifier     // nil: nobody but Wait

	mu  sync.Mutex
	log []string // what happened, where asked for
}

type answer struct {
	text string
	err  error
	last bool
}

// guard turns a panic into an error and every error into JSON.
func guard(answer *string, err *error) {
	if r := recover(); r != nil {
		*answer, *err = "", panicked(r)
	}
	if *err != nil {
		*err = errors.New(encodeError(*err))
	}
}

func panicked(r any) error {
	return &awserr.Error{Kind: awserr.Internal, Code: "Panic", Message: fmt.Sprintf("glowplug panicked, please report it: %v\n%s", r, debug.Stack())}
}

func invalid(code, format string, args ...any) error {
	return &awserr.Error{Kind: awserr.Invalid, Code: code, Message: fmt.Sprintf(format, args...)}
}

// callError is an error with what its call has to say.
type callError struct {
	error
	stats string
	log   []string
}

func (e *callError) Unwrap() error { return e.error }

// encodeError writes an error as the façade reads it.
func encodeError(err error) string {
	var from callError
	if c, ok := errors.AsType[*callError](err); ok {
		from = *c
	}
	var e *awserr.Error
	if !errors.As(err, &e) {
		e = &awserr.Error{Kind: awserr.Internal, Message: "unexpected: " + err.Error()}
	}
	text, err := json.Marshal(struct {
		Kind      awserr.Kind `json:"kind"`
		Code      string      `json:"code"`
		Message   string      `json:"message"`
		Status    int         `json:"status"`
		RequestID string      `json:"request_id"`
		Operation string      `json:"operation"`
		Bucket    string      `json:"bucket"`
		Retryable bool        `json:"retryable"`
		Stats     string      `json:"stats,omitempty"`
		Log       []string    `json:"log,omitempty"`
	}{e.Kind, e.Code, e.Message, e.Status, e.RequestID, e.Operation, e.Bucket, e.Retryable, from.stats, from.log})
	if err != nil {
		return `{"kind":"internal","message":"an error could not be encoded"}`
	}
	return string(text)
}

// Open makes a client from options and environment and answers its id.
func Open(request string) (id string, err error) {
	defer guard(&id, &err)
	options, preconnect, err := parseOptions(request)
	if err != nil {
		return "", err
	}
	fault(&options, request)
	lister, err := buckets.New(options)
	if err != nil {
		return "", err
	}
	c := &client{lister: lister}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	if preconnect {
		c.preconnect()
	}
	table.Lock()
	defer table.Unlock()
	table.last++
	table.clients[table.last] = c
	return strconv.FormatInt(table.last, 10), nil
}

// preconnect opens a connection beside the caller; one that failed is tried anew.
func (c *client) preconnect() *warmUp {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.warm != nil {
		select {
		case <-c.warm.done:
			if c.warm.err == nil {
				return c.warm
			}
		default:
			return c.warm
		}
	}
	w := &warmUp{done: make(chan struct{})}
	c.warm = w
	c.calls.Add(1)
	go func() {
		defer c.calls.Done()
		defer close(w.done)
		defer func() {
			if r := recover(); r != nil {
				w.err = panicked(r)
			}
		}()
		w.err = c.lister.Preconnect(c.ctx)
	}()
	return w
}

// errClosing is what the calls end with that Close finds under way.
var errClosing = &awserr.Error{Kind: awserr.Cancelled, Code: "ClientClosed", Message: "the client was closed while the call went on"}

var errClosed = invalid("ClientClosed", "this client is closed: make another")

// Close ends a client, its calls are cancelled, its connections closed, and answers
// the counts of its calls. A client that is closed already, or was never there, is
// none of its business.
func Close(request string) (counts string, err error) {
	defer guard(&counts, &err)
	id, err := number(request)
	if err != nil {
		return "", err
	}
	table.Lock()
	c := table.clients[id]
	delete(table.clients, id)
	table.Unlock()
	if c == nil {
		return "", nil
	}
	c.cancel(errClosing)
	c.calls.Wait()
	c.lister.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	return encodeStats(c.total), nil
}

// Start begins a call: client, call, milliseconds to wait, verb, options.
func Start(request string) (text string, err error) {
	defer guard(&text, &err)
	fields := strings.Split(request, unit)
	if len(fields) < 4 {
		return "", invalid("InvalidRequest", "a request of %d fields: report it", len(fields))
	}
	clientID, err := number(fields[0])
	if err != nil {
		return "", err
	}
	id, err := number(fields[1])
	if err != nil {
		return "", err
	}
	slice, err := number(fields[2])
	if err != nil {
		return "", err
	}
	o, err := parseCall(fields[3], fields[4:])
	if err != nil {
		return "", err
	}
	o.verb = fields[3]
	run, ok := verbs[o.verb]
	if !ok {
		return "", invalid("InvalidRequest", "no verb %.40q", fields[3])
	}
	k := &call{id: id, answers: make(chan answer, 2), part: make(chan struct{}, 1)}
	if o.notify != 0 {
		if k.told = notifierOf(o.notify); k.told == nil {
			return "", invalid("InvalidRequest", "no notifier %d", o.notify)
		}
	}
	table.Lock()
	c := table.clients[clientID]
	if c == nil || table.calls[id] != nil {
		table.Unlock()
		if c == nil {
			return "", errClosed
		}
		return "", invalid("InvalidRequest", "call %d is under way already", id)
	}
	var ctx context.Context
	ctx, k.cancel = context.WithCancelCause(c.ctx)
	table.calls[id] = k
	c.calls.Add(1)
	table.Unlock()

	go func() {
		defer c.calls.Done()
		k.run(ctx, c, o, run)
	}()
	return wait(id, k, slice)
}

func (k *call) run(ctx context.Context, c *client, o callOptions, run verb) {
	observation := buckets.Observation{TraceHeader: o.trace}
	if o.log {
		observation.Log = k.note
	}
	ctx, seen := buckets.Observe(ctx, observation)
	last := answer{last: true}
	defer func() {
		if r := recover(); r != nil {
			last.err = panicked(r)
		}
		stats := seen.Stats()
		c.count(stats)
		if last.err != nil {
			last.err = &callError{last.err, encodeStats(stats), k.said()}
		} else {
			last.text += record + encodeStats(stats) + record + strings.Join(k.said(), unit)
		}
		k.answers <- last
		k.tell()
		k.cancel(nil)
	}()
	if o.timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, o.timeout)
		defer stop()
	}
	last.text, last.err = run(ctx, c, o, func(text string) bool {
		select {
		case k.part <- struct{}{}:
			k.answers <- answer{text: text}
			k.tell()
			return true
		case <-ctx.Done():
			return false
		}
	})
}

func (k *call) tell() {
	if k.told != nil {
		k.told.tell(k.id)
	}
}

// maxLog bounds the lines that one call may say.
const maxLog = 10_000

func (k *call) note(line string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.log) < maxLog {
		k.log = append(k.log, strings.Map(printable, line))
	}
}

func (k *call) said() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log
}

// printable keeps our separators, and a server's line ends and escape sequences, out of a line.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return ' '
	}
	return r
}

func (c *client) count(s buckets.Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total.Requests += s.Requests
	c.total.Retries += s.Retries
	c.total.Connections += s.Connections
	c.total.Bytes += s.Bytes
	c.total.CacheHits += s.CacheHits
	c.total.FirstByte = s.FirstByte
}

// encodeStats writes requests, retries, connections, bytes, cache hits and the microseconds to the first byte.
func encodeStats(s buckets.Stats) string {
	b := make([]byte, 0, 32)
	for i, n := range [...]int64{s.Requests, s.Retries, s.Connections, s.Bytes, s.CacheHits, s.FirstByte.Microseconds()} {
		if i > 0 {
			b = append(b, unit...)
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(b)
}

// Wait waits for the answer of a call: call, milliseconds.
func Wait(request string) (text string, err error) {
	defer guard(&text, &err)
	callID, millis, _ := strings.Cut(request, unit)
	id, err := number(callID)
	if err != nil {
		return "", err
	}
	slice, err := number(millis)
	if err != nil {
		return "", err
	}
	table.Lock()
	k := table.calls[id]
	table.Unlock()
	if k == nil {
		return "", invalid("UnknownCall", "call %d is over", id)
	}
	return wait(id, k, slice)
}

func wait(id int64, k *call, millis int64) (string, error) {
	var a answer
	select {
	case a = <-k.answers:
	default:
		timer := time.NewTimer(time.Duration(millis) * time.Millisecond)
		defer timer.Stop()
		select {
		case a = <-k.answers:
		case <-timer.C:
			return pendingAnswer, nil
		}
	}
	if a.last {
		forget(id)
	} else {
		<-k.part
	}
	return a.text, a.err
}

func forget(id int64) *call {
	table.Lock()
	defer table.Unlock()
	k := table.calls[id]
	delete(table.calls, id)
	return k
}

var errCancelled = &awserr.Error{Kind: awserr.Cancelled, Code: "Cancelled", Message: "the call was cancelled"}

// Cancel ends a call and forgets it; one that is over already is none of its business.
func Cancel(request string) (_ string, err error) {
	var none string
	defer guard(&none, &err)
	id, err := number(request)
	if err != nil {
		return "", err
	}
	if k := forget(id); k != nil {
		k.cancel(errCancelled)
	}
	return "", nil
}

// Info tells the version, Go's version, and how many clients, calls and goroutines
// there are; with the id of a client, the counts of the calls that it has ended,
// the time to the first byte being the last call's.
func Info(request string) (text string, err error) {
	defer guard(&text, &err)
	table.Lock()
	defer table.Unlock()
	if request == "" {
		return strings.Join([]string{version.Version, runtime.Version(), strconv.Itoa(len(table.clients)), strconv.Itoa(len(table.calls)), strconv.Itoa(runtime.NumGoroutine())}, unit), nil
	}
	id, err := number(request)
	if err != nil {
		return "", err
	}
	c := table.clients[id]
	if c == nil {
		return "", errClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return encodeStats(c.total), nil
}

func number(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, invalid("InvalidRequest", "%.40q is no id", s)
	}
	return n, nil
}
