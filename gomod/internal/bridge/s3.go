package bridge

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/glowplug/glowplug/gomod/buckets"
)

// verb runs one kind of call; more hands a part to Python and is false when nobody wants it.
type verb func(ctx context.Context, c *client, o callOptions, more func(text string) bool) (string, error)

var verbs = map[string]verb{
	"list": func(ctx context.Context, c *client, o callOptions, _ func(string) bool) (string, error) {
		listing, err := c.lister.List(ctx, o.query)
		if err != nil {
			return "", err
		}
		return encodeBuckets("D", listing.Buckets, listing.Truncated), nil
	},
	"pages": func(ctx context.Context, c *client, o callOptions, more func(string) bool) (string, error) {
		for page, err := range c.lister.Pages(ctx, o.query) {
			if err != nil {
				return "", err
			}
			if !more(encodeBuckets("M", page.Buckets, page.Truncated)) {
				return "", buckets.Classify(ctx, "ListBuckets", "", context.Cause(ctx))
			}
		}
		return "D", nil
	},
	"regions": func(ctx context.Context, c *client, o callOptions, _ func(string) bool) (string, error) {
		results, err := c.lister.Regions(ctx, o.names)
		if err != nil {
			return "", err
		}
		var b strings.Builder
		b.WriteString("D")
		for i, r := range results {
			if i > 0 {
				b.WriteString(unit)
			}
			if r.Err != nil {
				b.WriteString("E" + encodeError(r.Err))
			} else {
				b.WriteString("R" + r.Region)
			}
		}
		return b.String(), nil
	},
	"doctor":            doctor,
	"ListBuckets":       operate,
	"HeadBucket":        operate,
	"GetBucketLocation": operate,
	"describe":          describe,
	// ready answers D1 when a connection is open, D0 when the time passed before.
	"ready": func(ctx context.Context, c *client, _ callOptions, _ func(string) bool) (string, error) {
		w := c.preconnect()
		select {
		case <-w.done:
			return "D1", w.err
		case <-ctx.Done():
			return "D0", nil
		}
	},
}

// isoLayout is Python's datetime.isoformat for an aware UTC time without a fraction.
const isoLayout = "2006-01-02T15:04:05"

// encodeBuckets writes state and truncation, then name, region and date of each
// bucket, then index and error of those that have one.
func encodeBuckets(state string, list []buckets.Bucket, truncated bool) string {
	size := 8
	for i := range list {
		size += len(list[i].Name) + len(list[i].Region) + 40
	}
	b := make([]byte, 0, size)
	b = append(b, state...)
	if truncated {
		b = append(b, '1')
	}
	b = append(b, record...)
	for i := range list {
		if i > 0 {
			b = append(b, unit...)
		}
		b = append(append(b, list[i].Name...), unit...)
		b = append(append(b, list[i].Region...), unit...)
		b = appendTime(b, list[i].Created)
	}
	b = append(b, record...)
	first := true
	for i := range list {
		if list[i].Err == nil {
			continue
		}
		if !first {
			b = append(b, unit...)
		}
		first = false
		b = append(strconv.AppendInt(b, int64(i), 10), unit...)
		b = append(b, encodeError(list[i].Err)...)
	}
	return string(b)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = t.AppendFormat(b, isoLayout)
	if micros := t.Nanosecond() / 1000; micros != 0 {
		b = append(b, '.')
		for d := 100_000; d > 0; d /= 10 {
			b = append(b, byte('0'+micros/d%10))
		}
	}
	return append(b, "+00:00"...)
}
