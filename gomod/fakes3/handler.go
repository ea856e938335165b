// Package fakes3 is S3's bucket listing surface, faithful enough to develop,
// test and measure against: ListBuckets, HeadBucket and GetBucketLocation, with
// S3's errors, and with faults to order.
//
//	srv, err := fakes3.NewServer(fakes3.Options{N: 100})
//	defer srv.Close()
//	client := s3.New(s3.Options{BaseEndpoint: &srv.URL, UsePathStyle: true, ...})
//	srv.Order(fakes3.Fault{Kind: fakes3.Throttle, Rate: 50})
//
// Any signature is accepted until Options.Keys names the keys to verify.
// Answers follow the S3 API reference and recorded answers of the real service;
// tests/test_fakes3.py holds them against moto and versitygw.
package fakes3

import (
	"fmt"
	"math/bits"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultRegions is the cycle of regions over generated buckets: bucket i lies in
// DefaultRegions[i%7].
var DefaultRegions = []string{"us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2", "sa-east-1", "af-south-1"}

// Signed, as Options.Region, takes the endpoint's region from the signature of
// each request: one server then stands for the endpoints of all regions.
const Signed = "signed"

// Bucket is one bucket of the simulated account.
type Bucket struct {
	Name    string    // any text; it is escaped where XML needs it
	Region  string    // "" is us-east-1
	Created time.Time // zero is 2024-03-01T12:00:00Z; listed with milliseconds
	Foreign bool      // of another account: never listed, 403 when asked for
}

// Quirks are known differences of servers that call themselves S3.
type Quirks uint

// The quirks; they combine.
const (
	NeverTell          Quirks = 1 << iota // no BucketRegion in listings (moto)
	IgnoreMaxBuckets                      // whatever max-buckets says, everything in one page
	OwnRegionAlways                       // every bucket is said to lie in the endpoint's region (versitygw)
	RepeatToken                           // the token sent comes back, with the same page, for ever
	EndlessTokens                         // a new token after each page, also after the last
	NoToken                               // pages are cut at max-buckets, but no token is given and none is read (moto)
	IgnoreBucketRegion                    // the bucket-region filter has no effect (versitygw)
)

var quirkNames = []string{"never-tell", "ignore-max-buckets", "own-region", "repeat-token", "endless-tokens", "no-token", "ignore-bucket-region"}

// ParseQuirks reads names joined by commas: never-tell, ignore-max-buckets,
// own-region, repeat-token, endless-tokens, no-token, ignore-bucket-region.
// "" is none; an unknown name is an error.
func ParseQuirks(s string) (Quirks, error) {
	var q Quirks
	for _, name := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) {
		i := slices.Index(quirkNames, name)
		if i < 0 {
			return 0, fmt.Errorf("unknown quirk %q: use %s", name, strings.Join(quirkNames, ", "))
		}
		q |= 1 << i
	}
	return q, nil
}

// String is what ParseQuirks reads.
func (q Quirks) String() string {
	var names []string
	for ; q != 0; q &= q - 1 {
		if i := bits.TrailingZeros(uint(q)); i < len(quirkNames) {
			names = append(names, quirkNames[i])
		}
	}
	return strings.Join(names, ",")
}

// Options say what is simulated. The zero value is an account without buckets
// that accepts any signature.
type Options struct {
	N         int      // buckets to generate, named bucket-%05d; default 0; without effect where Buckets is not nil
	Regions   []string // cycle of regions over generated buckets; nil is DefaultRegions
	Buckets   []Bucket // the buckets, in any order, names unique; nil generates N
	Quirks    Quirks
	Keys      []Key         // keys that are verified; none accepts any SigV4 header
	Region    string        // region of this endpoint, then strict about it; Signed; "" serves all regions alike
	Quota     int           // bucket quota of the account, default 10,000; above it an unpaginated ListBuckets is refused
	OldEU     bool          // GetBucketLocation says EU for eu-west-1, as of buckets made before 2014
	BadRegion int           // HTTP status of HeadBucket through another region's endpoint: 301 (default) or 400, as S3's global endpoint answers
	DenyAnon  bool          // anonymous listing: 403 AccessDenied in place of S3's redirect to its product page
	Domain    string        // virtual-hosted buckets are below this host name; default "localhost"
	Delay     time.Duration // simulated round trip, slept before each answer; default 0

	Now func() time.Time // clock of the signature check; nil is time.Now

	Addr      string        // Server only: listen address; "" is 127.0.0.1 and a free port
	ConnDelay time.Duration // Server only: simulated handshake, slept before a connection's first byte is read; default 0
	TLS       TLS           // Server only: "" serves plain HTTP
	CertDir   string        // Server only: where ca.pem is written when TLS is set; "" writes nothing
}

// Stats are counters since the start, or since Handler.ResetStats. Requests for
// /-/ paths count as connections only.
type Stats struct {
	Conns     int64 // connections accepted (0 where no Server runs)
	Reqs      int64 // requests of any kind
	Lists     int64 // ListBuckets
	Locations int64 // GetBucketLocation
	Heads     int64 // HeadBucket
	Refused   int64 // answered by an ordered throttle
	Faulted   int64 // touched by an ordered fault, throttles included
}

// Handler serves the simulated account at its root. It is safe for concurrent use.
type Handler struct {
	conns, reqs, lists, locations, heads, refused, faulted atomic.Int64

	state    atomic.Pointer[state]
	updating sync.Mutex
	faults   faults
	ids      atomic.Uint64
	done     chan struct{}
	end      sync.Once
}

var _ http.Handler = (*Handler)(nil)

// New returns a Handler. It fails on options that contradict themselves.
func New(o Options) (*Handler, error) {
	h := &Handler{done: make(chan struct{})}
	s, err := newState(o)
	if err != nil {
		return nil, err
	}
	h.state.Store(s)
	return h, nil
}

// Close ends whatever the handler holds up: delays, black holes, endless bodies.
func (h *Handler) Close() { h.end.Do(func() { close(h.done) }) }

// Update changes the options of a running handler; requests under way keep the
// old ones. Server-only fields have no effect.
func (h *Handler) Update(change func(*Options)) error {
	h.updating.Lock()
	defer h.updating.Unlock()
	o := h.state.Load().Options
	change(&o)
	s, err := newState(o)
	if err != nil {
		return err
	}
	h.state.Store(s)
	return nil
}

// Stats returns the counters.
func (h *Handler) Stats() Stats {
	return Stats{h.conns.Load(), h.reqs.Load(), h.lists.Load(), h.locations.Load(), h.heads.Load(), h.refused.Load(), h.faulted.Load()}
}

// ResetStats sets all counters to zero.
func (h *Handler) ResetStats() {
	for _, c := range []*atomic.Int64{&h.conns, &h.reqs, &h.lists, &h.locations, &h.heads, &h.refused, &h.faulted} {
		c.Store(0)
	}
}

// reply is an answer before faults touch its body.
type reply struct {
	status int
	header []string // name, value, name, value ...
	body   []byte
}

// failure is an error of S3's: fields are further elements, name, value, ...
type failure struct {
	status        int
	code, message string
	fields        []string
	header        []string
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/-/stats" {
		h.writeStats(w)
		return
	}
	s := h.state.Load()
	h.reqs.Add(1)
	bucket := s.bucketOf(r)
	op := opOf(r, bucket)
	switch op {
	case "list":
		h.lists.Add(1)
	case "head":
		h.heads.Add(1)
	case "location":
		h.locations.Add(1)
	}
	if !h.sleep(r, s.Delay) {
		panic(http.ErrAbortHandler)
	}
	ordered := h.faults.pick(op, bucket, connNumber(r))
	if len(ordered) > 0 {
		h.faulted.Add(1)
	}
	id, host := h.newIDs()
	head := w.Header()
	head["X-Amz-Request-Id"] = []string{id}
	head["X-Amz-Id-2"] = []string{host}
	head["Server"] = []string{"AmazonS3"}

	for _, f := range ordered {
		if h.answered(w, r, f) {
			return
		}
	}
	out, fail := s.fromFaults(ordered, op, bucket)
	if fail == nil && out == nil {
		out, fail = s.answer(r, op, bucket)
	} else if fail != nil && fail.code == "SlowDown" {
		h.refused.Add(1)
	}
	if fail != nil {
		out = fail.reply(id, host)
	}
	for i := 0; i < len(out.header); i += 2 {
		head[out.header[i]] = []string{out.header[i+1]}
	}
	for _, f := range ordered {
		if f.Kind == NoRegion {
			delete(head, "X-Amz-Bucket-Region")
		}
	}
	if r.Method == http.MethodHead {
		out.body = nil
	}
	h.send(w, r, out, ordered)
}

func (h *Handler) writeStats(w http.ResponseWriter) {
	s := h.Stats()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"conns":%d,"reqs":%d,"lists":%d,"locations":%d,"heads":%d,"refused":%d,"faulted":%d}`+"\n",
		s.Conns, s.Reqs, s.Lists, s.Locations, s.Heads, s.Refused, s.Faulted)
}

// bucketOf names the bucket of a request, path-style or virtual-hosted; "" is none.
func (s *state) bucketOf(r *http.Request) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if name, ok := strings.CutSuffix(host, s.suffix); ok && name != "" {
		return name
	}
	return strings.Trim(r.URL.Path, "/")
}

func opOf(r *http.Request, bucket string) string {
	switch {
	case bucket == "" && r.Method == http.MethodGet:
		return "list"
	case bucket != "" && r.Method == http.MethodHead:
		return "head"
	case bucket != "" && r.Method == http.MethodGet && r.URL.Query().Has("location"):
		return "location"
	}
	return ""
}

func (s *state) answer(r *http.Request, op, bucket string) (*reply, *failure) {
	who, fail := s.authenticate(r)
	if op == "list" {
		if fail != nil {
			return nil, fail
		}
		if who.anonymous {
			return s.anonymousListing()
		}
		return s.list(r.URL.Query(), s.endpoint(who))
	}
	if bucket == "" {
		return nil, &failure{status: 405, code: "MethodNotAllowed", message: "The specified method is not allowed against this resource.", fields: []string{"Method", r.Method, "ResourceType", "SERVICE"}}
	}
	b := s.find(bucket)
	if b == nil {
		if fail == nil {
			fail = &failure{status: 404, code: "NoSuchBucket", message: "The specified bucket does not exist", fields: []string{"BucketName", bucket}}
		}
		return nil, fail
	}
	out, refused := s.ofBucket(op, b, who)
	if fail == nil {
		fail = refused
	}
	if fail != nil && fail.status != 501 {
		// S3 tells the region whatever it refuses (API reference, HeadBucket).
		fail.header = append(fail.header, "X-Amz-Bucket-Region", s.regionOf(b, who))
	}
	return out, fail
}

func (s *state) ofBucket(op string, b *entry, who caller) (*reply, *failure) {
	if who.anonymous || b.foreign {
		return nil, accessDenied()
	}
	region := s.regionOf(b, who)
	switch op {
	case "head":
		if here := s.endpoint(who); here != "" && here != region {
			return nil, s.wrongEndpoint(b.name, here, region)
		}
		return &reply{status: 200, header: []string{"X-Amz-Bucket-Region", region, "X-Amz-Access-Point-Alias", "false", "Content-Type", "application/xml"}}, nil
	case "location":
		const open = xmlHead + `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`
		body := open + ">" + region + "</LocationConstraint>"
		switch {
		case region == "us-east-1":
			body = open + "/>"
		case region == "eu-west-1" && s.OldEU:
			body = open + ">EU</LocationConstraint>"
		}
		return &reply{status: 200, header: []string{"Content-Type", "application/xml"}, body: []byte(body)}, nil
	}
	return nil, &failure{status: 501, code: "NotImplemented", message: "A header you provided implies functionality that is not implemented"}
}

// endpoint is the region that the endpoint stands for; "" is any.
func (s *state) endpoint(who caller) string {
	if s.Region == Signed {
		return who.region
	}
	return s.Region
}

func (s *state) regionOf(b *entry, who caller) string {
	if s.Quirks&OwnRegionAlways != 0 {
		return s.ownRegion(s.endpoint(who))
	}
	return b.region
}

func (s *state) ownRegion(endpoint string) string {
	if endpoint == "" {
		return "us-east-1"
	}
	return endpoint
}

func (s *state) wrongEndpoint(bucket, here, region string) *failure {
	if s.BadRegion == 400 {
		return malformedRegion(here, region)
	}
	return &failure{status: 301, code: "PermanentRedirect", message: "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.",
		fields: []string{"Endpoint", "s3." + region + ".amazonaws.com", "Bucket", bucket}}
}

func malformedRegion(got, want string) *failure {
	return &failure{status: 400, code: "AuthorizationHeaderMalformed", message: "The authorization header is malformed; the region '" + got + "' is wrong; expecting '" + want + "'", fields: []string{"Region", want}}
}

func accessDenied() *failure {
	return &failure{status: 403, code: "AccessDenied", message: "Access Denied"}
}

// anonymousListing is what s3.amazonaws.com answers to GET / without a signature.
func (s *state) anonymousListing() (*reply, *failure) {
	if s.DenyAnon {
		return nil, accessDenied()
	}
	return &reply{status: 307, header: []string{"Location", "https://aws.amazon.com/s3/", "Content-Length", "0"}}, nil
}

func (f *failure) reply(id, host string) *reply {
	b := make([]byte, 0, 512)
	b = append(b, xmlHead+"<Error><Code>"...)
	b = append(b, f.code...)
	b = append(b, "</Code><Message>"...)
	b = appendEscaped(b, f.message)
	b = append(b, "</Message>"...)
	for i := 0; i < len(f.fields); i += 2 {
		b = append(b, '<')
		b = append(b, f.fields[i]...)
		b = append(b, '>')
		b = appendEscaped(b, f.fields[i+1])
		b = append(b, "</"...)
		b = append(b, f.fields[i]...)
		b = append(b, '>')
	}
	b = append(b, "<RequestId>"...)
	b = append(b, id...)
	b = append(b, "</RequestId><HostId>"...)
	b = append(b, host...)
	b = append(b, "</HostId></Error>"...)
	return &reply{status: f.status, header: append(f.header, "Content-Type", "application/xml"), body: b}
}

// newIDs makes a request id and a host id in S3's form; they differ by request
// and repeat from run to run.
func (h *Handler) newIDs() (id, host string) {
	const upper, base64 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	x := h.ids.Add(1) * 0x9E3779B97F4A7C15
	var b [92]byte
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		if i < 16 {
			b[i] = upper[x>>32%36]
		} else {
			b[i] = base64[x>>32%64]
		}
	}
	b[91] = '='
	return string(b[:16]), string(b[16:])
}

// sleep waits and reports whether the client is still there.
func (h *Handler) sleep(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-h.done:
	}
	return false
}

func atoi(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil
}
