// Package control lets another process order a fakes3.Handler about: it adds
// /-/control, which reads and answers JSON, beside the handler's /-/stats.
//
//	GET    /-/control   the orders that have not ended, the quirks, the number of buckets
//	DELETE /-/control   ends all orders
//	POST   /-/control   an Order; fields not sent change nothing; answers as GET does
//
// A bad order is answered 400 with {"error": "..."} and changes nothing.
package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/glowplug/glowplug/gomod/fakes3"
)

// maxOrder bounds what is read of an order: 100,000 buckets fit.
const maxOrder = 32 << 20

// Order is the body of a POST. Clear and ResetStats come first, then the rest.
type Order struct {
	Clear      bool      `json:"clear,omitempty"`       // end all orders
	ResetStats bool      `json:"reset_stats,omitempty"` // counters to zero
	Faults     []Fault   `json:"faults,omitempty"`      // added behind those ordered
	N          *int      `json:"n,omitempty"`           // generate so many buckets in place of the present ones
	Buckets    *[]Bucket `json:"buckets,omitempty"`     // these buckets in place of the present ones
	Quirks     *string   `json:"quirks,omitempty"`      // names joined by commas, "" is none
	Delay      *Duration `json:"delay,omitempty"`       // simulated round trip
	Keys       *[]Key    `json:"keys,omitempty"`        // keys to verify, [] accepts any signature
	Region     *string   `json:"region,omitempty"`      // region of the endpoint, "signed" or ""
}

// Fault is fakes3.Fault.
type Fault struct {
	Kind     string   `json:"kind"`
	Op       string   `json:"op,omitempty"`
	Bucket   string   `json:"bucket,omitempty"`
	After    int      `json:"after,omitempty"`
	Every    int      `json:"every,omitempty"`
	Times    int      `json:"times,omitempty"`
	OldConns bool     `json:"old_conns,omitempty"`
	Rate     float64  `json:"rate,omitempty"`
	Burst    int      `json:"burst,omitempty"`
	Status   int      `json:"status,omitempty"`
	Code     string   `json:"code,omitempty"`
	Delay    Duration `json:"delay,omitzero"`
	Bytes    int64    `json:"bytes,omitempty"`
	Location string   `json:"location,omitempty"`
}

// Bucket is fakes3.Bucket; Created is RFC 3339.
type Bucket struct {
	Name    string    `json:"name"`
	Region  string    `json:"region,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Foreign bool      `json:"foreign,omitempty"`
}

// Key is fakes3.Key; Expires is RFC 3339.
type Key struct {
	ID      string    `json:"id"`
	Secret  string    `json:"secret"`
	Token   string    `json:"token,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// Duration is written as Go writes durations ("250ms") and read from that or from
// a number of seconds.
type Duration time.Duration

// MarshalJSON writes "250ms".
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads "250ms" or 0.25.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var seconds float64
	if json.Unmarshal(b, &seconds) == nil {
		*d = Duration(seconds * float64(time.Second))
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	*d = Duration(v)
	return err
}

// Status is what each answer says.
type Status struct {
	Faults  []Fault `json:"faults"`
	Buckets int     `json:"buckets"`
}

// Handler adds /-/control before h. Give it to h.Serve.
func Handler(h *fakes3.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/-/control" {
			h.ServeHTTP(w, r)
			return
		}
		if err := control(h, w, r); err != nil {
			answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		status := Status{Faults: []Fault{}, Buckets: len(h.Buckets())}
		for _, f := range h.Faults() {
			status.Faults = append(status.Faults, Fault{string(f.Kind), f.Op, f.Bucket, f.After, f.Every, f.Times, f.OldConns, f.Rate, f.Burst, f.Status, f.Code, Duration(f.Delay), f.Bytes, f.Location})
		}
		answer(w, http.StatusOK, status)
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func control(h *fakes3.Handler, w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet:
		return nil
	case http.MethodDelete:
		h.ClearFaults()
		return nil
	case http.MethodPost:
	default:
		return fmt.Errorf("use GET, POST or DELETE")
	}
	var o Order
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return err
	}
	return Apply(h, o)
}

// Apply carries out an order; where it fails nothing has changed.
func Apply(h *fakes3.Handler, o Order) error {
	var faults []fakes3.Fault
	for _, f := range o.Faults {
		faults = append(faults, fakes3.Fault{Kind: fakes3.Kind(f.Kind), Op: f.Op, Bucket: f.Bucket, After: f.After, Every: f.Every, Times: f.Times, OldConns: f.OldConns,
			Rate: f.Rate, Burst: f.Burst, Status: f.Status, Code: f.Code, Delay: time.Duration(f.Delay), Bytes: f.Bytes, Location: f.Location})
	}
	if err := fakes3.CheckFaults(faults...); err != nil {
		return err
	}
	var quirks fakes3.Quirks
	if o.Quirks != nil {
		var err error
		if quirks, err = fakes3.ParseQuirks(*o.Quirks); err != nil {
			return err
		}
	}
	if o.N != nil || o.Buckets != nil || o.Quirks != nil || o.Delay != nil || o.Keys != nil || o.Region != nil {
		if err := h.Update(func(to *fakes3.Options) { o.change(to, quirks) }); err != nil {
			return err
		}
	}
	if o.Clear {
		h.ClearFaults()
	}
	if o.ResetStats {
		h.ResetStats()
	}
	return h.Order(faults...)
}

func (o Order) change(to *fakes3.Options, quirks fakes3.Quirks) {
	if o.N != nil {
		to.N, to.Buckets = *o.N, nil
	}
	if o.Buckets != nil {
		to.Buckets = make([]fakes3.Bucket, len(*o.Buckets))
		for i, b := range *o.Buckets {
			to.Buckets[i] = fakes3.Bucket(b)
		}
	}
	if o.Quirks != nil {
		to.Quirks = quirks
	}
	if o.Delay != nil {
		to.Delay = time.Duration(*o.Delay)
	}
	if o.Keys != nil {
		to.Keys = make([]fakes3.Key, len(*o.Keys))
		for i, k := range *o.Keys {
			to.Keys[i] = fakes3.Key(k)
		}
	}
	if o.Region != nil {
		to.Region = *o.Region
	}
}
