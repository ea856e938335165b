package fakes3

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	xmlHead  = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	listHead = xmlHead + `<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a</ID></Owner><Buckets>`
	listTail = "</ListAllMyBucketsResult>"

	maxPage      = 10000
	maxToken     = 1024
	pagesHeld    = 64 << 20
	defaultQuota = 10000
)

// entry is a bucket ready to be written.
type entry struct {
	name, escaped, region, created string
	foreign                        bool
}

// state is one immutable version of the simulated account and its pages.
type state struct {
	Options
	suffix string
	all    []entry // sorted by name
	listed []entry // all, less the foreign ones
	keys   map[string]Key

	mu    sync.RWMutex
	pages map[pageKey][]byte
	held  int
}

type pageKey struct {
	limit                      int
	prefix, region, start, own string
	tell, fresh, cutUp         bool
	repeat                     string
}

func newState(o Options) (*state, error) {
	if o.N < 0 || o.Quota < 0 || o.Delay < 0 || o.ConnDelay < 0 {
		return nil, fmt.Errorf("fakes3: N, Quota, Delay and ConnDelay can't be negative")
	}
	if o.BadRegion != 0 && o.BadRegion != 301 && o.BadRegion != 400 {
		return nil, fmt.Errorf("fakes3: BadRegion is %d: use 301 or 400", o.BadRegion)
	}
	s := &state{Options: o, suffix: ".localhost", pages: map[pageKey][]byte{}, keys: map[string]Key{}}
	if o.Domain != "" {
		s.suffix = "." + o.Domain
	}
	for _, k := range o.Keys {
		s.keys[k.ID] = k
	}
	if s.all = generated(o); o.Buckets != nil {
		s.all = given(o.Buckets)
	}
	byName := func(a, b entry) int { return strings.Compare(a.name, b.name) }
	if !slices.IsSortedFunc(s.all, byName) {
		slices.SortFunc(s.all, byName)
	}
	for i := 1; i < len(s.all); i++ {
		if s.all[i].name == s.all[i-1].name {
			return nil, fmt.Errorf("fakes3: two buckets are named %q", s.all[i].name)
		}
	}
	s.listed = s.all
	if slices.ContainsFunc(s.all, func(e entry) bool { return e.foreign }) {
		s.listed = slices.DeleteFunc(slices.Clone(s.all), func(e entry) bool { return e.foreign })
	}
	return s, nil
}

const defaultCreated = "2024-03-01T12:00:00.000Z"

func generated(o Options) []entry {
	if o.Buckets != nil {
		return nil
	}
	regions := o.Regions
	if len(regions) == 0 {
		regions = DefaultRegions
	}
	all := make([]entry, o.N)
	for i := range all {
		name := fmt.Sprintf("bucket-%05d", i)
		all[i] = entry{name: name, escaped: name, region: regions[i%len(regions)], created: defaultCreated}
	}
	return all
}

func given(buckets []Bucket) []entry {
	all := make([]entry, len(buckets))
	for i, b := range buckets {
		all[i] = entry{name: b.Name, escaped: string(appendEscaped(nil, b.Name)), region: b.Region, created: defaultCreated, foreign: b.Foreign}
		if b.Region == "" {
			all[i].region = "us-east-1"
		}
		if !b.Created.IsZero() {
			all[i].created = b.Created.UTC().Format("2006-01-02T15:04:05.000Z")
		}
	}
	return all
}

func (s *state) find(name string) *entry {
	if i := search(s.all, name); i < len(s.all) && s.all[i].name == name {
		return &s.all[i]
	}
	return nil
}

// search is the index of the first entry that does not sort before name.
func search(in []entry, name string) int {
	return sort.Search(len(in), func(i int) bool { return in[i].name >= name })
}

func invalidArgument(message, name, value string) *failure {
	f := &failure{status: 400, code: "InvalidArgument", message: message, fields: []string{"ArgumentName", name}}
	if value != "" {
		f.fields = append(f.fields, "ArgumentValue", value)
	}
	return f
}

// list follows the API reference of ListBuckets; messages are those of the real
// service as versitygw's issues 1804 and 1930 record them.
func (s *state) list(q url.Values, endpoint string) (*reply, *failure) {
	k := pageKey{limit: maxPage, prefix: q.Get("prefix"), region: q.Get("bucket-region"), own: s.ownRegion(endpoint)}
	paginated := k.prefix != "" || k.region != ""
	if v := q.Get("max-buckets"); v != "" {
		n, ok := atoi(v)
		if !ok {
			return nil, invalidArgument("Provided max-buckets not an integer or within integer range", "max-buckets", v)
		}
		if n < 1 || n > maxPage {
			return nil, invalidArgument("Argument max-buckets must be an integer between 1 and 10000.", "max-buckets", v)
		}
		k.limit, paginated = n, true
	}
	if k.region != "" && endpoint != "" && endpoint != k.region && s.Quirks&IgnoreBucketRegion == 0 {
		return nil, invalidArgument("Requests with bucket-region specified must be made to the corresponding regional endpoint", "bucket-region", "")
	}
	if v := q.Get("continuation-token"); v != "" && s.Quirks&NoToken == 0 {
		start, ok := readToken(v)
		if !ok {
			return nil, invalidArgument("The continuation token provided is incorrect", "continuation-token", "")
		}
		k.start, paginated = start, true
		if s.Quirks&RepeatToken != 0 {
			k.repeat = v
		}
	}
	// The API reference says that these are rejected, not with which code.
	if quota := max(s.Quota, defaultQuota); !paginated && (quota > defaultQuota || len(s.listed) > quota) {
		return nil, &failure{status: 400, code: "InvalidRequest", message: "Unpaginated ListBuckets requests are not supported for accounts with a general purpose bucket quota above 10,000. Send max-buckets."}
	}
	if s.Quirks&IgnoreMaxBuckets != 0 {
		k.limit = len(s.listed)
	}
	if s.Quirks&IgnoreBucketRegion != 0 {
		k.region = ""
	}
	k.tell = paginated && s.Quirks&NeverTell == 0
	k.fresh, k.cutUp = s.Quirks&EndlessTokens != 0, s.Quirks&NoToken != 0
	return &reply{status: 200, header: []string{"Content-Type", "application/xml"}, body: s.page(k)}, nil
}

// page answers from the pages already rendered: benchmarks ask for the same one.
func (s *state) page(k pageKey) []byte {
	s.mu.RLock()
	p, ok := s.pages[k]
	s.mu.RUnlock()
	if ok {
		return p
	}
	p = s.render(k)
	s.mu.Lock()
	if s.held+len(p) <= pagesHeld {
		s.pages[k] = p
		s.held += len(p)
	}
	s.mu.Unlock()
	return p
}

func (s *state) render(k pageKey) []byte {
	from := max(search(s.listed, k.start), search(s.listed, k.prefix))
	b := make([]byte, 0, 512+150*min(k.limit, len(s.listed)-from))
	b = append(b, listHead...)
	own := s.Quirks&OwnRegionAlways != 0
	count, next := 0, ""
	for i := from; i < len(s.listed) && strings.HasPrefix(s.listed[i].name, k.prefix); i++ {
		e := &s.listed[i]
		region := e.region
		if own {
			region = k.own
		}
		if k.region != "" && region != k.region {
			continue
		}
		if count == k.limit {
			next = e.name
			break
		}
		count++
		b = append(b, "<Bucket><Name>"...)
		b = append(b, e.escaped...)
		b = append(b, "</Name><CreationDate>"...)
		b = append(b, e.created...)
		if k.tell {
			b = append(b, "</CreationDate><BucketRegion>"...)
			b = append(b, region...)
			b = append(b, "</BucketRegion></Bucket>"...)
		} else {
			b = append(b, "</CreationDate></Bucket>"...)
		}
	}
	b = append(b, "</Buckets>"...)
	if k.prefix != "" {
		b = append(b, "<Prefix>"...)
		b = appendEscaped(b, k.prefix)
		b = append(b, "</Prefix>"...)
	}
	if token := k.nextToken(next); token != "" {
		b = append(b, "<ContinuationToken>"...)
		b = append(b, token...)
		b = append(b, "</ContinuationToken>"...)
	}
	return append(b, listTail...)
}

// beyond starts the made-up names of endless tokens: it sorts after any bucket.
const beyond = "\U0010FFFF"

func (k pageKey) nextToken(next string) string {
	switch {
	case k.cutUp:
		return ""
	case k.repeat != "":
		return k.repeat
	case next != "":
		return makeToken(next)
	case k.fresh:
		n, _ := atoi(strings.TrimPrefix(k.start, beyond))
		return makeToken(beyond + strconv.Itoa(n+1))
	}
	return ""
}

// makeToken hides the name of the next page's first bucket behind a checksum, so
// that any other text is told apart.
func makeToken(next string) string {
	sum := crc32.ChecksumIEEE([]byte("fakes3" + next))
	raw := []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}
	for i := range len(next) {
		raw = append(raw, next[i]^raw[i%4])
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func readToken(token string) (next string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < 5 || len(token) > maxToken {
		return "", false
	}
	name := make([]byte, len(raw)-4)
	for i := range name {
		name[i] = raw[4+i] ^ raw[i%4]
	}
	return string(name), makeToken(string(name)) == token
}

func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '&':
			b = append(b, "&amp;"...)
		case '<':
			b = append(b, "&lt;"...)
		case '>':
			b = append(b, "&gt;"...)
		case '"':
			b = append(b, "&quot;"...)
		case '\r':
			b = append(b, "&#13;"...)
		default:
			b = append(b, c)
		}
	}
	return b
}

// Buckets lists what a Handler simulates, foreign buckets included, by name.
func (h *Handler) Buckets() []Bucket {
	s := h.state.Load()
	out := make([]Bucket, len(s.all))
	for i, e := range s.all {
		created, _ := time.Parse(time.RFC3339, e.created)
		out[i] = Bucket{Name: e.name, Region: e.region, Created: created, Foreign: e.foreign}
	}
	return out
}
