package fakes3

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kind is one way to misbehave.
type Kind string

// The kinds, with the fields of Fault that they read.
const (
	Throttle      Kind = "throttle"        // 503 SlowDown: above Rate requests a second (token bucket), or each matching request where Rate is 0
	Status        Kind = "status"          // an S3 error of HTTP status Status (default 500) with Code (default by status)
	Deny          Kind = "deny"            // 403 AccessDenied, with the region where a bucket was named
	Slow          Kind = "slow"            // Delay before the head
	SlowBody      Kind = "slow-body"       // Delay before each Bytes (default 1024) of body; with Rate, so many bytes a second
	Drop          Kind = "drop"            // the connection is closed before the head
	Reset         Kind = "reset"           // the connection is reset (RST) after Bytes of body, default half of it
	BlackHole     Kind = "black-hole"      // the request is read and never answered
	BlackHoleConn Kind = "black-hole-conn" // Server only: a new connection is accepted and never read; no TLS handshake either
	Garbage       Kind = "garbage"         // 200 with a body that is no XML
	Cut           Kind = "cut"             // Content-Length is right, the body ends after Bytes, default half of it
	Endless       Kind = "endless"         // a listing that never ends
	Big           Kind = "big"             // a well-formed listing of Bytes (default 200 MiB) or a little more
	GzipBomb      Kind = "gzip-bomb"       // Content-Encoding: gzip that unpacks to Bytes (default 1 GiB) of blanks inside a listing
	DeepXML       Kind = "deep-xml"        // Bytes (default 1,000,000) nested elements
	Entities      Kind = "entities"        // DOCTYPE with entities that multiply to 10^9, and one of file:///etc/passwd
	InvalidUTF8   Kind = "invalid-utf8"    // a listing with a bucket name of the bytes FF FE C3 28
	Redirect      Kind = "redirect"        // status Status (default 307) to Location, with the request's path and query
	NoRegion      Kind = "no-region"       // x-amz-bucket-region is missing
)

var kinds = []Kind{Throttle, Status, Deny, Slow, SlowBody, Drop, Reset, BlackHole, BlackHoleConn, Garbage, Cut, Endless, Big, GzipBomb, DeepXML, Entities, InvalidUTF8, Redirect, NoRegion}

// Fault is an order to misbehave. Kind alone makes each request suffer until
// ClearFaults; the selectors narrow that and combine. A request meets all orders
// that select it: delays add up, the first that answers wins. Kinds that spoil a
// body leave answers to HEAD alone.
type Fault struct {
	Kind     Kind
	Op       string // only "list", "head" or "location"; "" is all, other requests too
	Bucket   string // only this bucket; an ending * stands for any rest; "" is all
	After    int    // the first so many matching requests go free; default 0
	Every    int    // only every nth of those that follow; 0 and 1 are each
	Times    int    // ends after so many faults; 0 never
	OldConns bool   // Server only: connections opened before the order alone suffer

	Rate     float64       // requests (Throttle) or bytes (SlowBody) a second
	Burst    int           // Throttle: requests let through at once, default a tenth of Rate, at least 1
	Status   int           // HTTP status
	Code     string        // S3's error code
	Delay    time.Duration // Slow, SlowBody
	Bytes    int64         // see the kinds
	Location string        // Redirect: scheme and host
}

// order is a Fault under way.
type order struct {
	Fault
	seen, done int
	tokens     float64
	filled     time.Time
	lastConn   int64
}

type faults struct {
	mu     sync.Mutex
	orders []*order
	conns  int64
}

// CheckFaults says what is wrong with orders: unknown kinds, senseless numbers, an
// unknown op, a redirect to nowhere.
func CheckFaults(ordered ...Fault) error {
	for _, f := range ordered {
		if !slices.Contains(kinds, f.Kind) {
			return fmt.Errorf("fakes3: unknown fault kind %q: use one of %v", f.Kind, kinds)
		}
		if f.After < 0 || f.Every < 0 || f.Times < 0 || f.Rate < 0 || f.Burst < 0 || f.Delay < 0 || f.Bytes < 0 {
			return fmt.Errorf("fakes3: fault %q: numbers can't be negative", f.Kind)
		}
		if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
			return fmt.Errorf("fakes3: fault %q: status %d is not between 200 and 599", f.Kind, f.Status)
		}
		if f.Kind == Redirect && f.Location == "" {
			return fmt.Errorf("fakes3: fault %q needs a location", f.Kind)
		}
		if !slices.Contains([]string{"", "list", "head", "location"}, f.Op) {
			return fmt.Errorf("fakes3: fault %q: unknown op %q: use list, head or location", f.Kind, f.Op)
		}
	}
	return nil
}

// Order adds faults behind those already ordered, or none where CheckFaults fails.
func (h *Handler) Order(ordered ...Fault) error {
	if err := CheckFaults(ordered...); err != nil {
		return err
	}
	h.faults.mu.Lock()
	defer h.faults.mu.Unlock()
	for _, f := range ordered {
		if f.Burst == 0 {
			f.Burst = max(1, int(f.Rate/10))
		}
		h.faults.orders = append(h.faults.orders, &order{Fault: f, tokens: float64(f.Burst), filled: time.Now(), lastConn: h.faults.conns})
	}
	return nil
}

// ClearFaults ends all orders. What is held up already stays so.
func (h *Handler) ClearFaults() {
	h.faults.mu.Lock()
	defer h.faults.mu.Unlock()
	h.faults.orders = nil
}

// Faults returns the orders that have not ended.
func (h *Handler) Faults() []Fault {
	h.faults.mu.Lock()
	defer h.faults.mu.Unlock()
	var out []Fault
	for _, o := range h.faults.orders {
		if o.Times == 0 || o.done < o.Times {
			out = append(out, o.Fault)
		}
	}
	return out
}

// pick returns the faults that a request meets.
func (f *faults) pick(op, bucket string, conn int64) []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Fault
	for _, o := range f.orders {
		if o.Kind != BlackHoleConn && o.selects(op, bucket, conn) && o.strikes() {
			out = append(out, o.Fault)
		}
	}
	return out
}

// open numbers a new connection and reports whether it falls into a black hole.
func (f *faults) open() (number int64, hole bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns++
	for _, o := range f.orders {
		if o.Kind == BlackHoleConn && o.strikes() {
			hole = true
		}
	}
	return f.conns, hole
}

func (o *order) selects(op, bucket string, conn int64) bool {
	if o.Op != "" && o.Op != op || o.OldConns && conn > o.lastConn {
		return false
	}
	if stem, ok := strings.CutSuffix(o.Bucket, "*"); ok {
		return bucket != "" && strings.HasPrefix(bucket, stem)
	}
	return o.Bucket == "" || o.Bucket == bucket
}

func (o *order) strikes() bool {
	if o.Times > 0 && o.done >= o.Times {
		return false
	}
	o.seen++
	if o.seen <= o.After || o.Every > 1 && (o.seen-o.After)%o.Every != 0 {
		return false
	}
	if o.Kind == Throttle && o.Rate > 0 {
		now := time.Now()
		o.tokens = min(float64(o.Burst), o.tokens+now.Sub(o.filled).Seconds()*o.Rate)
		o.filled = now
		if o.tokens >= 1 {
			o.tokens--
			return false
		}
	}
	o.done++
	return true
}

// fromFaults is the answer that faults order in place of S3's own; nil is none.
func (s *state) fromFaults(ordered []Fault, op, bucket string) (*reply, *failure) {
	for _, f := range ordered {
		switch f.Kind {
		case Throttle:
			return nil, &failure{status: 503, code: "SlowDown", message: "Please reduce your request rate."}
		case Deny:
			fail := accessDenied()
			if b := s.find(bucket); b != nil {
				fail.header = []string{"X-Amz-Bucket-Region", b.region}
			}
			return nil, fail
		case Status:
			return nil, statusFailure(f)
		case Redirect:
			return nil, &failure{status: or(f.Status, 307), code: "TemporaryRedirect", message: "Please re-send this request to the specified temporary endpoint. Continue to use the original request endpoint for future requests.",
				fields: []string{"Endpoint", f.Location}}
		}
		if body := hostileBody(f.Kind); body != nil && op != "head" {
			return &reply{status: 200, header: []string{"Content-Type", "application/xml"}, body: body}, nil
		}
	}
	return nil, nil
}

func statusFailure(f Fault) *failure {
	f.Status = or(f.Status, 500)
	known := map[int][2]string{
		400: {"BadRequest", "An error occurred when parsing the HTTP request."},
		403: {"AccessDenied", "Access Denied"},
		404: {"NoSuchBucket", "The specified bucket does not exist"},
		500: {"InternalError", "We encountered an internal error. Please try again."},
		503: {"ServiceUnavailable", "Service is unable to handle request."},
	}[f.Status]
	if f.Code == "" {
		f.Code = known[0]
	}
	if f.Code == "" {
		f.Code = strings.ReplaceAll(http.StatusText(f.Status), " ", "")
	}
	if known[1] == "" {
		known[1] = http.StatusText(f.Status)
	}
	return &failure{status: f.Status, code: f.Code, message: known[1]}
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// hostileBody is the fixed body of a kind; those without a fixed one are streamed.
func hostileBody(k Kind) []byte {
	switch k {
	case Garbage:
		return []byte("\x00\x01 this is { \"no\": XML } <unclosed ")
	case InvalidUTF8:
		return []byte(listHead + "<Bucket><Name>\xff\xfe\xc3\x28</Name><CreationDate>" + defaultCreated + "</CreationDate></Bucket></Buckets>" + listTail)
	case Entities:
		return entities()
	}
	return nil
}

func entities() []byte {
	var b bytes.Buffer
	b.WriteString(xmlHead + "<!DOCTYPE ListAllMyBucketsResult [\n<!ENTITY file SYSTEM \"file:///etc/passwd\">\n<!ENTITY e0 \"ha\">\n")
	for i := 1; i <= 9; i++ {
		last := "&e" + strconv.Itoa(i-1) + ";"
		fmt.Fprintf(&b, "<!ENTITY e%d \"%s\">\n", i, strings.Repeat(last, 10))
	}
	b.WriteString("]>\n<ListAllMyBucketsResult><Buckets><Bucket><Name>&file;&e9;</Name></Bucket></Buckets></ListAllMyBucketsResult>")
	return b.Bytes()
}

// answered carries out the faults that need no reply of S3's.
func (h *Handler) answered(w http.ResponseWriter, r *http.Request, f Fault) bool {
	switch f.Kind {
	case Slow:
		if !h.sleep(r, f.Delay) {
			panic(http.ErrAbortHandler)
		}
	case Drop:
		panic(http.ErrAbortHandler)
	case BlackHole:
		select {
		case <-r.Context().Done():
		case <-h.done:
		}
		panic(http.ErrAbortHandler)
	case Redirect:
		w.Header().Set("Location", strings.TrimRight(f.Location, "/")+r.URL.RequestURI())
	case Endless, Big, GzipBomb, DeepXML:
		if r.Method != http.MethodHead {
			h.stream(w, r, f)
			return true
		}
	}
	return false
}

// stream writes a body too large to be held.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, f Fault) {
	w.Header().Set("Content-Type", "application/xml")
	head, block, tail, size := listHead, bigBlock(), "</Buckets>"+listTail, f.Bytes
	switch f.Kind {
	case Endless:
		size = 1 << 62
	case Big:
		size = or(size, 200<<20)
	case DeepXML:
		depth := or(size, 1_000_000)
		head, block, tail = xmlHead+"<ListAllMyBucketsResult>", bytes.Repeat([]byte("<a>"), 1000), ""
		size = depth * 3
	case GzipBomb:
		w.Header().Set("Content-Encoding", "gzip")
		blanks := bytes.Repeat([]byte(" "), 8<<20)
		head, tail = string(zipped([]byte(head))), string(zipped([]byte(tail)))
		// A gzip file may be many members: one, packed once, is enough for any size.
		block = zipped(blanks)
		size = (or(size, 1<<30) + 8<<20 - 1) / (8 << 20) * int64(len(block))
	}
	if _, err := w.Write([]byte(head)); err != nil {
		return
	}
	for size > 0 {
		select {
		case <-r.Context().Done():
			return
		case <-h.done:
			panic(http.ErrAbortHandler)
		default:
		}
		part := block
		if f.Kind == DeepXML && int64(len(part)) > size {
			part = part[:size]
		}
		if _, err := w.Write(part); err != nil {
			return
		}
		size -= int64(len(part))
	}
	if f.Kind == DeepXML {
		depth := int(or(f.Bytes, 1_000_000))
		tail = strings.Repeat("</a>", depth) + "</ListAllMyBucketsResult>"
	}
	w.Write([]byte(tail))
}

func bigBlock() []byte {
	var b []byte
	for i := range 1000 {
		b = append(b, fmt.Sprintf("<Bucket><Name>big-%05d</Name><CreationDate>%s</CreationDate><BucketRegion>us-east-1</BucketRegion></Bucket>", i, defaultCreated)...)
	}
	return b
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

// send writes a reply, through the faults that spoil its body.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, out *reply, ordered []Fault) {
	for _, f := range ordered {
		if len(out.body) == 0 {
			break
		}
		switch f.Kind {
		case SlowBody:
			h.drip(w, r, out, f)
			return
		case Cut, Reset:
			w.Header().Set("Content-Length", strconv.Itoa(len(out.body)))
			w.WriteHeader(out.status)
			w.Write(out.body[:min(or(f.Bytes, int64(len(out.body)/2)), int64(len(out.body)))])
			flusher := http.NewResponseController(w)
			flusher.Flush()
			if f.Kind == Reset {
				h.sleep(r, 20*time.Millisecond) // a RST overtakes what the peer has not read
				reset(flusher)
			}
			panic(http.ErrAbortHandler)
		}
	}
	w.WriteHeader(out.status)
	w.Write(out.body)
}

func (h *Handler) drip(w http.ResponseWriter, r *http.Request, out *reply, f Fault) {
	step, pause := int(or(f.Bytes, 1024)), f.Delay
	if f.Rate > 0 {
		step = max(1, int(f.Rate/20))
		pause = time.Duration(float64(step) / f.Rate * float64(time.Second))
	}
	flusher := http.NewResponseController(w)
	w.Header().Set("Content-Length", strconv.Itoa(len(out.body)))
	w.WriteHeader(out.status)
	flusher.Flush()
	for part := range slices.Chunk(out.body, step) {
		if !h.sleep(r, pause) {
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(part); err != nil {
			return
		}
		flusher.Flush()
	}
}

// reset takes the connection over and closes it with a RST, where there is one.
func reset(rc *http.ResponseController) {
	c, _, err := rc.Hijack()
	if err != nil {
		return
	}
	for under := c; ; {
		switch u := under.(type) {
		case *net.TCPConn:
			u.SetLinger(0)
			// Closed below TLS: its close_notify would come first.
			u.Close()
		case interface{ NetConn() net.Conn }:
			under = u.NetConn()
			continue
		}
		break
	}
	c.Close()
}
