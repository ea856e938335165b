package buckets

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/glowplug/glowplug/gomod/awserr"
)

// RegionResult is what Regions found for one name: a region or an error.
type RegionResult struct {
	Name   string
	Region string // empty exactly when Err is set
	Err    error  // an *Error
}

// Region tells the region of one bucket, of any account. It is remembered for
// Options.CacheTTL, so a bucket deleted since is still told. Errors: of kind NotFound
// where there is no such bucket, Invalid for a name that no bucket can have, Denied
// where the server hides it, else as of [Lister.List].
func (l *Lister) Region(ctx context.Context, name string) (string, error) {
	results, err := l.Regions(ctx, []string{name})
	if err != nil {
		return "", err
	}
	return results[0].Region, results[0].Err
}

// Regions tells the regions of many buckets concurrently: one result for each
// name, in their order. The error is for what is fatal to all: credentials, the
// deadline, cancellation.
func (l *Lister) Regions(ctx context.Context, names []string) ([]RegionResult, error) {
	ctx, stop := l.bounded(ctx)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	results := make([]RegionResult, len(names))
	first := make(map[string]int, len(names)) // where a name stands first
	var unknown []int
	for i, name := range names {
		results[i].Name = name
		if _, again := first[name]; again {
			continue
		}
		first[name] = i
		if err := checkName(name); err != nil {
			results[i].Err = err
		} else if region, ok := l.cache.get(cacheKey{scope: l.scope, name: name}); ok {
			results[i].Region = region
			c := Observed(ctx)
			c.cacheHits.Add(1)
			c.logf("region of %q is %s, remembered", name, region)
		} else {
			unknown = append(unknown, i)
		}
	}
	l.each(ctx, len(unknown), cancel, func(i int) {
		r := &results[unknown[i]]
		region, err := l.resolve(ctx, r.Name)
		key := cacheKey{scope: l.scope, name: r.Name}
		if err != nil {
			r.Err = err
			fatal(err, cancel)
			return
		}
		r.Region = region
		l.cache.put(key, region)
	})
	if cause := context.Cause(ctx); cause != nil {
		return nil, ended(&Error{Operation: "HeadBucket"}, cause)
	}
	for i := range results {
		results[i] = results[first[results[i].Name]]
	}
	return results, nil
}

// each calls f for 0 to n-1, as many at once as the gate can ever admit, and
// returns when all are done or ctx has ended. A panic in f goes to cancel.
func (l *Lister) each(ctx context.Context, n int, cancel context.CancelCauseFunc, f func(i int)) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(n, int(l.gate.most)) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			defer func() {
				if r := recover(); r != nil {
					cancel(panicked(r))
				}
			}()
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				f(i)
			}
		}()
	}
	wait.Wait()
}

// fatal ends the whole call where no other look-up could do better.
func fatal(err *Error, cancel context.CancelCauseFunc) {
	if err.Kind == awserr.Credentials {
		cancel(err)
	}
}

// patience is how long a look-up that the server throttles is tried again: half of
// the call's time, so that one such bucket leaves the listing time to return.
func (l *Lister) patience(ctx context.Context) time.Time {
	now := time.Now()
	if deadline, ok := ctx.Deadline(); ok {
		return now.Add(deadline.Sub(now) / 2)
	}
	return now.Add(l.timeout / 2)
}

// resolve looks up one region within the gate. A throttled look-up gives its
// place back, pauses and comes again.
func (l *Lister) resolve(ctx context.Context, name string) (string, *Error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	until := l.patience(ctx)
	for round := 1; ; round++ {
		if err := l.gate.enter(ctx); err != nil {
			return "", ended(&Error{Operation: "HeadBucket", Bucket: name}, err)
		}
		region, source, err := l.lookup(ctx, name)
		l.gate.leave()
		if c := Observed(ctx); c.Log != nil && err == nil {
			c.logf("region of %q is %s, from %s", name, region, source)
		}
		if err == nil || err.Kind != awserr.Throttled {
			return region, err
		}
		wait := pause(round, true)
		if time.Now().Add(wait).After(until) {
			return region, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return "", err
		}
	}
}

// lookup asks HeadBucket, whose answer names the region even where it refuses,
// then GetBucketLocation. A 404 is asked twice as well: without a body it may
// mean an unknown key (versitygw), and a bucket is not dropped on a doubt.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
func (l *Lister) lookup(ctx context.Context, name string) (region, source string, _ *Error) {
	head, err := l.api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &name})
	if err == nil {
		if region := aws.ToString(head.BucketRegion); isRegion(region) {
			return region, "HeadBucket", nil
		}
	} else {
		if region := RegionOf(err); region != "" {
			return region, "a refused HeadBucket", nil
		}
		switch e := classify(ctx, "HeadBucket", name, err); {
		case ctx.Err() != nil, e.Kind == awserr.Throttled, e.Status == 0, e.Status >= 500 && e.Status != 501:
			return "", "", e
		}
	}
	location, err := l.api.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &name})
	if err == nil {
		region := constraintRegion(string(location.LocationConstraint))
		if !isRegion(region) {
			return "", "", &Error{Kind: awserr.Response, Code: "MalformedResponse", Operation: "GetBucketLocation", Bucket: name,
				Message: fmt.Sprintf("the server tells the region %.40q, which is none", region)}
		}
		return region, "GetBucketLocation", nil
	}
	if region := RegionOf(err); region != "" {
		return region, "a refused GetBucketLocation", nil
	}
	return "", "", classify(ctx, "GetBucketLocation", name, err)
}

// RegionOf tells the region that a refusal of S3 names in its header ("" where it
// names none): where to send the request instead. A 404 or a failure of the server
// names none that counts.
func RegionOf(err error) string {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil {
		return ""
	}
	if status := answer.HTTPStatusCode(); status == 404 || status >= 500 {
		return ""
	}
	region := answer.Response.Header.Get("X-Amz-Bucket-Region")
	if !isRegion(region) {
		return ""
	}
	return strings.Clone(region)
}

// constraintRegion maps a location constraint to its region.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
func constraintRegion(constraint string) string {
	switch constraint {
	case "":
		return "us-east-1"
	case "EU":
		return "eu-west-1"
	}
	return constraint
}

// bucketName is wide enough for the names that us-east-1 once allowed, and keeps
// out what would change a request's path.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
var bucketName = regexp.MustCompile(`^[A-Za-z0-9._-]{3,255}$`)

func checkName(name string) *Error {
	bad := func(message string) *Error {
		return &Error{Kind: awserr.Invalid, Code: "InvalidBucketName", Bucket: name, Message: message}
	}
	switch {
	case !bucketName.MatchString(name):
		return bad(fmt.Sprintf("%.80q is no bucket name: 3 to 63 of a-z, 0-9, '.' and '-' (no ARN, no URL)", name))
	case strings.HasSuffix(name, "--x-s3"):
		return bad(fmt.Sprintf("%.80q is a directory bucket: its zone stands in its name, and S3 tells no region for it", name))
	}
	return nil
}
