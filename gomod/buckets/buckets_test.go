package buckets_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/buckets"
	"github.com/glowplug/glowplug/gomod/fakes3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var keys = map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "canary-secret"}

func serve(t *testing.T, o fakes3.Options) *fakes3.Server {
	t.Helper()
	server, err := fakes3.NewServer(o)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	return server
}

func open(t *testing.T, url string, change func(*buckets.Options)) *buckets.Lister {
	t.Helper()
	o := buckets.Options{Env: keys, EndpointURL: url, Region: "us-east-1"}
	if change != nil {
		change(&o)
	}
	lister, err := buckets.New(o)
	require.NoError(t, err)
	t.Cleanup(lister.Close)
	return lister
}

func require100(t *testing.T, list []buckets.Bucket, n int) {
	t.Helper()
	require.Len(t, list, n)
	for i, b := range list {
		require.NoError(t, b.Err)
		require.Equal(t, fmt.Sprintf("bucket-%05d", i), b.Name)
		require.Equal(t, fakes3.DefaultRegions[i%7], b.Region, b.Name)
		require.Equal(t, time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC), b.Created)
	}
}

func TestListTakesToldRegionsFromOneRequest(t *testing.T) {
	server := serve(t, fakes3.Options{N: 2500})
	listing, err := open(t, server.URL, nil).List(context.Background(), buckets.Query{})
	require.NoError(t, err)
	require100(t, listing.Buckets, 2500)
	require.False(t, listing.Truncated)
	stats := server.Stats()
	require.EqualValues(t, 1, stats.Reqs)
	require.EqualValues(t, 1, stats.Conns)
}

func TestListLooksUpWhatIsNotToldAndRemembersIt(t *testing.T) {
	server := serve(t, fakes3.Options{N: 1000, Quirks: fakes3.NeverTell})
	lister := open(t, server.URL, nil)
	for range 2 {
		listing, err := lister.List(context.Background(), buckets.Query{})
		require.NoError(t, err)
		require100(t, listing.Buckets, 1000)
	}
	stats := server.Stats()
	require.EqualValues(t, 2, stats.Lists)
	require.EqualValues(t, 1000, stats.Heads, "the second listing needs no look-up")
	require.LessOrEqual(t, stats.Conns, int64(2*32), "net/http may dial while another connection becomes free")
}

func TestListIsRightWhateverTheServerDoes(t *testing.T) {
	for _, quirks := range []fakes3.Quirks{
		0, fakes3.NeverTell, fakes3.IgnoreMaxBuckets, fakes3.NoToken, fakes3.NoToken | fakes3.NeverTell,
		fakes3.IgnoreBucketRegion, fakes3.IgnoreBucketRegion | fakes3.NeverTell,
	} {
		for _, n := range []int{0, 1, 6, 7, 8, 50} {
			t.Run(fmt.Sprintf("quirks %q, %d buckets", quirks, n), func(t *testing.T) {
				server := serve(t, fakes3.Options{N: n, Quirks: quirks})
				lister := open(t, server.URL, nil)
				for _, size := range []int{0, 7} {
					listing, err := lister.List(context.Background(), buckets.Query{PageSize: size})
					require.NoError(t, err)
					require100(t, listing.Buckets, n)

					var paged []buckets.Bucket
					for page, err := range lister.Pages(context.Background(), buckets.Query{PageSize: size}) {
						require.NoError(t, err)
						require.NotEmpty(t, page.Buckets)
						require.False(t, page.Truncated)
						paged = append(paged, page.Buckets...)
					}
					require100(t, paged, n)
				}
				for _, limit := range []int{1, 6, 7, 8} {
					for _, size := range []int{0, 3} {
						listing, err := lister.List(context.Background(), buckets.Query{Limit: limit, PageSize: size})
						require.NoError(t, err)
						require100(t, listing.Buckets, min(n, limit))
						require.Equal(t, n > limit, listing.Truncated, "limit %d page size %d", limit, size)
					}
				}
				listing, err := lister.List(context.Background(), buckets.Query{Region: "eu-west-1", Limit: 3})
				require.NoError(t, err)
				var names []string
				for i := 2; i < n && len(names) < 3; i += 7 {
					names = append(names, fmt.Sprintf("bucket-%05d", i))
				}
				require.Equal(t, names, namesOf(listing.Buckets))
				listing, err = lister.List(context.Background(), buckets.Query{Prefix: "bucket-0000"})
				require.NoError(t, err)
				require100(t, listing.Buckets, min(n, 10))
			})
		}
	}
}

func namesOf(list []buckets.Bucket) (names []string) {
	for _, b := range list {
		names = append(names, b.Name)
	}
	return names
}

func TestALimitCostsNoMoreThanItNeeds(t *testing.T) {
	server := serve(t, fakes3.Options{N: 2500, Quirks: fakes3.NeverTell | fakes3.IgnoreMaxBuckets})
	listing, err := open(t, server.URL, nil).List(context.Background(), buckets.Query{Limit: 5})
	require.NoError(t, err)
	require.True(t, listing.Truncated)
	stats := server.Stats()
	require.EqualValues(t, 1, stats.Lists)
	require.EqualValues(t, 5, stats.Heads)
}

func TestAListingThatNeverEndsFails(t *testing.T) {
	for quirks, code := range map[fakes3.Quirks]string{fakes3.RepeatToken: "EndlessListing"} {
		server := serve(t, fakes3.Options{N: 20, Quirks: quirks})
		_, err := open(t, server.URL, nil).List(context.Background(), buckets.Query{PageSize: 5})
		require.ErrorIs(t, err, awserr.Response)
		requireCode(t, err, code)
		require.LessOrEqual(t, server.Stats().Lists, int64(5))
	}
	server := serve(t, fakes3.Options{Quirks: fakes3.EndlessTokens})
	_, err := open(t, server.URL, nil).List(context.Background(), buckets.Query{})
	requireCode(t, err, "EndlessListing")
}

func requireCode(t *testing.T, err error, code string) *buckets.Error {
	t.Helper()
	var e *buckets.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, err)
	require.NotContains(t, err.Error(), "canary-secret")
	return e
}

func TestABucketWithoutARegionCarriesItsOwnError(t *testing.T) {
	server := serve(t, fakes3.Options{N: 10, Quirks: fakes3.NeverTell})
	require.NoError(t, server.Order(
		fakes3.Fault{Kind: fakes3.Status, Status: 403, Code: "AccessDenied", Bucket: "bucket-00003"},
		fakes3.Fault{Kind: fakes3.Status, Status: 404, Code: "NoSuchBucket", Bucket: "bucket-00004"},
		fakes3.Fault{Kind: fakes3.NoRegion},
	))
	lister := open(t, server.URL, nil)
	listing, err := lister.List(context.Background(), buckets.Query{})
	require.NoError(t, err)
	require.Len(t, listing.Buckets, 9, "the bucket that is gone is left out")
	require.Equal(t, "bucket-00003", listing.Buckets[3].Name)
	require.Empty(t, listing.Buckets[3].Region)
	require.ErrorIs(t, listing.Buckets[3].Err, awserr.Denied)
	require.Equal(t, "us-east-1", listing.Buckets[0].Region, "null is us-east-1")

	filtered, err := lister.List(context.Background(), buckets.Query{Region: "eu-central-1"})
	require.NoError(t, err)
	require.Equal(t, []string{"bucket-00003"}, namesOf(filtered.Buckets), "kept with its error")
}

func TestAnOldLocationIsMapped(t *testing.T) {
	server := serve(t, fakes3.Options{OldEU: true, Quirks: fakes3.NeverTell, Buckets: []fakes3.Bucket{{Name: "old-eu", Region: "eu-west-1"}, {Name: "classic"}}})
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.NoRegion, Op: "head"}))
	listing, err := open(t, server.URL, nil).List(context.Background(), buckets.Query{})
	require.NoError(t, err)
	require.Equal(t, "us-east-1", listing.Buckets[0].Region)
	require.Equal(t, "eu-west-1", listing.Buckets[1].Region)
}

// What HeadBucket's status and header, then GetBucketLocation's answer come to.
func TestRegionByStatusAndHeader(t *testing.T) {
	for _, c := range []struct {
		sentence string
		status   int
		header   string
		location string // body of GetBucketLocation; empty: 403
		region   string
		kind     awserr.Kind
		requests int64
	}{
		{"200 with the header", 200, "eu-west-3", "", "eu-west-3", "", 1},
		{"301 names another region", 301, "eu-west-3", "", "eu-west-3", "", 1},
		{"307 names it too", 307, "eu-west-3", "", "eu-west-3", "", 1},
		{"400 of a region that wants its own endpoint", 400, "eu-west-3", "", "eu-west-3", "", 1},
		{"403 of somebody else's bucket", 403, "eu-west-3", "", "eu-west-3", "", 1},
		{"404 whatever the header, and 404 again", 404, "eu-west-3", "404", "", awserr.NotFound, 2},
		{"404 of a server that means something else", 404, "", "<LocationConstraint>ap-south-1</LocationConstraint>", "ap-south-1", "", 2},
		{"200 without the header", 200, "", "<LocationConstraint>ap-south-1</LocationConstraint>", "ap-south-1", "", 2},
		{"403 without the header", 403, "", "<LocationConstraint>ap-south-1</LocationConstraint>", "ap-south-1", "", 2},
		{"403 twice", 403, "", "", "", awserr.Denied, 2},
		{"a header that is no region", 200, "EVIL\r", "<LocationConstraint/>", "us-east-1", "", 2},
		{"200 without the header, and a document that is no location", 200, "", "<ListBucketResult/>", "", awserr.Response, 2},
		{"200 without the header, and no document", 200, "", " ", "", awserr.Response, 2},
		{"a location that is no region", 200, "", "<LocationConstraint>{evil</LocationConstraint>", "", awserr.Response, 2},
		{"501 of a server without HEAD", 501, "", "<LocationConstraint>EU</LocationConstraint>", "eu-west-1", "", 2},
		{"500 is retried, then an error", 500, "eu-west-3", "", "", awserr.Service, 2},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			var requests atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				if r.Method == http.MethodHead {
					if c.header != "" {
						w.Header()["X-Amz-Bucket-Region"] = []string{strings.TrimSpace(c.header)}
					}
					w.WriteHeader(c.status)
					return
				}
				switch c.location {
				case "":
					w.WriteHeader(403)
				case "404":
					w.WriteHeader(404)
				}
				fmt.Fprint(w, c.location)
			}))
			defer server.Close()
			lister := open(t, server.URL, func(o *buckets.Options) { o.MaxAttempts = 2 })
			region, err := lister.Region(context.Background(), "some-bucket")
			require.Equal(t, c.region, region)
			if c.kind == "" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, c.kind)
			}
			require.Equal(t, c.requests, requests.Load())
		})
	}
}

// A load balancer's page has S3's status without S3's body.
func TestAnErrorPageCountsByItsStatus(t *testing.T) {
	for status, kind := range map[int]awserr.Kind{
		400: awserr.Service, 401: awserr.Credentials, 403: awserr.Denied, 404: awserr.NotFound, 500: awserr.Service,
		502: awserr.Service, 503: awserr.Throttled, 302: awserr.Service,
	} {
		for _, body := range []string{"<!DOCTYPE html><html lang=en><p>hi</html>", "<Error><Code>AccessDen", "<p>&nbsp;\xff</p>", "text", strings.Repeat("<x>", 1<<20)} {
			var requests atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if requests.Add(1); requests.Load() > 1 && status >= 500 {
					fmt.Fprint(w, "<ListAllMyBucketsResult/>")
					return
				}
				w.WriteHeader(status)
				fmt.Fprint(w, body)
			}))
			_, err := open(t, server.URL, func(o *buckets.Options) { o.MaxAttempts = 1 }).List(context.Background(), buckets.Query{})
			require.ErrorIs(t, err, kind, "%d %.20q: %v", status, body, err)
			if status >= 500 {
				requests.Store(0)
				_, err = open(t, server.URL, nil).List(context.Background(), buckets.Query{})
				require.NoError(t, err, "a retry helps")
			}
			server.Close()
		}
	}
}

func TestRegionsAnswersEachNameInItsPlace(t *testing.T) {
	server := serve(t, fakes3.Options{N: 20, Buckets: nil})
	lister := open(t, server.URL, nil)
	names := []string{"bucket-00003", "no-such-bucket", "a/b", "bucket-00003", "arn:aws:s3:::x", "bucket-00000", "dir--use1-az4--x-s3"}
	results, err := lister.Regions(context.Background(), names)
	require.NoError(t, err)
	require.Equal(t, names, []string{results[0].Name, results[1].Name, results[2].Name, results[3].Name, results[4].Name, results[5].Name, results[6].Name})
	require.Equal(t, "eu-central-1", results[0].Region)
	require.ErrorIs(t, results[1].Err, awserr.NotFound)
	require.ErrorIs(t, results[2].Err, awserr.Invalid)
	require.Equal(t, results[0], results[3])
	require.ErrorIs(t, results[4].Err, awserr.Invalid)
	require.Equal(t, "us-east-1", results[5].Region)
	require.ErrorIs(t, results[6].Err, awserr.Invalid)
	require.EqualValues(t, 3, server.Stats().Heads)
	require.EqualValues(t, 1, server.Stats().Locations, "a 404 is asked twice")

	_, err = lister.Region(context.Background(), "bucket-00003")
	require.NoError(t, err)
	require.EqualValues(t, 3, server.Stats().Heads, "remembered")

	none, err := lister.Regions(context.Background(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestWhatIsFatalEndsTheCall(t *testing.T) {
	server := serve(t, fakes3.Options{N: 200, Quirks: fakes3.NeverTell, Keys: []fakes3.Key{{ID: "AKIDEXAMPLE", Secret: "canary-secret"}}})
	for sentence, c := range map[string]struct {
		env   map[string]string
		fault *fakes3.Fault
		kind  awserr.Kind
		code  string
	}{
		"no credentials":   {env: map[string]string{"AWS_EC2_METADATA_DISABLED": "true", "HOME": t.TempDir()}, kind: awserr.Credentials, code: "NoCredentials"},
		"an unknown key":   {env: map[string]string{"AWS_ACCESS_KEY_ID": "AKIDOTHER", "AWS_SECRET_ACCESS_KEY": "canary-secret"}, kind: awserr.Credentials, code: "InvalidAccessKeyId"},
		"a wrong secret":   {env: map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "canary-secret-2"}, kind: awserr.Credentials, code: "SignatureDoesNotMatch"},
		"a refused list":   {env: keys, fault: &fakes3.Fault{Kind: fakes3.Deny, Op: "list"}, kind: awserr.Denied, code: "AccessDenied"},
		"versitygw's key":  {env: keys, fault: &fakes3.Fault{Kind: fakes3.Status, Status: 404, Code: "XAdminUserNotFound"}, kind: awserr.Credentials, code: "XAdminUserNotFound"},
		"a token expired":  {env: keys, fault: &fakes3.Fault{Kind: fakes3.Status, Status: 400, Code: "ExpiredToken"}, kind: awserr.Credentials, code: "ExpiredToken"},
		"look-ups refused": {env: keys, fault: &fakes3.Fault{Kind: fakes3.Status, Status: 400, Code: "ExpiredToken", Op: "location"}, kind: awserr.Credentials, code: "ExpiredToken"},
		"a storm of 500":   {env: keys, fault: &fakes3.Fault{Kind: fakes3.Status, Status: 500}, kind: awserr.Service, code: "InternalError"},
		"a storm of 503":   {env: keys, fault: &fakes3.Fault{Kind: fakes3.Throttle}, kind: awserr.Throttled, code: "SlowDown"},
		"garbage":          {env: keys, fault: &fakes3.Fault{Kind: fakes3.Garbage}, kind: awserr.Response, code: "MalformedResponse"},
		"a cut body":       {env: keys, fault: &fakes3.Fault{Kind: fakes3.Cut}, kind: awserr.Connection},
		"a large body":     {env: keys, fault: &fakes3.Fault{Kind: fakes3.Big}, kind: awserr.Response, code: "ResponseTooLarge"},
		"an endless body":  {env: keys, fault: &fakes3.Fault{Kind: fakes3.Endless}, kind: awserr.Response, code: "ResponseTooLarge"},
		"a gzip bomb":      {env: keys, fault: &fakes3.Fault{Kind: fakes3.GzipBomb}, kind: awserr.Response},
		"deep XML":         {env: keys, fault: &fakes3.Fault{Kind: fakes3.DeepXML}, kind: awserr.Response},
		"entities":         {env: keys, fault: &fakes3.Fault{Kind: fakes3.Entities}, kind: awserr.Response, code: "MalformedResponse"},
		"invalid UTF-8":    {env: keys, fault: &fakes3.Fault{Kind: fakes3.InvalidUTF8}, kind: awserr.Response, code: "MalformedResponse"},
		"a redirect":       {env: keys, fault: &fakes3.Fault{Kind: fakes3.Redirect, Location: "http://127.0.0.1:1"}, kind: awserr.Service},
		"a closed line":    {env: keys, fault: &fakes3.Fault{Kind: fakes3.Drop}, kind: awserr.Connection},
		"a black hole":     {env: keys, fault: &fakes3.Fault{Kind: fakes3.BlackHole}, kind: awserr.Timeout, code: "AttemptTimeout"},
	} {
		t.Run(sentence, func(t *testing.T) {
			server.ClearFaults()
			if c.fault != nil {
				require.NoError(t, server.Order(*c.fault))
				if c.fault.Op == "location" {
					require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.NoRegion}))
				}
			}
			lister := open(t, server.URL, func(o *buckets.Options) {
				o.Env, o.MaxAttempts, o.MaxResponseBytes, o.Timeout, o.AttemptTimeout = c.env, 2, 1<<20, time.Minute, 20*time.Second
				if c.code == "AttemptTimeout" {
					o.AttemptTimeout = 300 * time.Millisecond
				}
			})
			listing, err := lister.List(context.Background(), buckets.Query{})
			require.Error(t, err)
			require.Empty(t, listing.Buckets)
			require.ErrorIs(t, err, c.kind, err.Error())
			if c.code != "" {
				requireCode(t, err, c.code)
			}
			server.ClearFaults()
			if c.fault != nil {
				listing, err = lister.List(context.Background(), buckets.Query{})
				require.NoError(t, err, "the same client works afterwards")
				require100(t, listing.Buckets, 200)
			}
		})
	}
}

func TestTheDeadlineHolds(t *testing.T) {
	server := serve(t, fakes3.Options{N: 500, Quirks: fakes3.NeverTell})
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.Slow, Op: "head", Delay: 200 * time.Millisecond}))
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := open(t, server.URL, nil).List(ctx, buckets.Query{})
	require.ErrorIs(t, err, awserr.Timeout)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(start), 2*time.Second)
}

func TestCancellationInTheFanOutLeavesNothingRunning(t *testing.T) {
	server := serve(t, fakes3.Options{N: 500, Quirks: fakes3.NeverTell})
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.Slow, Op: "head", Delay: 50 * time.Millisecond}))
	lister := open(t, server.URL, nil)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for server.Stats().Heads < 40 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := lister.List(ctx, buckets.Query{})
	require.ErrorIs(t, err, awserr.Cancelled)
	server.ClearFaults()
	time.Sleep(20 * time.Millisecond)
	require.Less(t, server.Stats().Heads, int64(200), "what was on its way at most: the rest is not sent")
}

func TestAStreamFailsBehindWhatItYielded(t *testing.T) {
	server := serve(t, fakes3.Options{N: 40})
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.Deny, Op: "list", After: 2}))
	var got []buckets.Bucket
	var failed error
	for page, err := range open(t, server.URL, nil).Pages(context.Background(), buckets.Query{PageSize: 10}) {
		if err != nil {
			failed = err
			continue
		}
		got = append(got, page.Buckets...)
	}
	require100(t, got, 20)
	require.ErrorIs(t, failed, awserr.Denied)
}

func TestAStreamStopsWhenTheCallerDoes(t *testing.T) {
	server := serve(t, fakes3.Options{N: 4000, Quirks: fakes3.NeverTell})
	for range open(t, server.URL, nil).Pages(context.Background(), buckets.Query{PageSize: 10}) {
		break
	}
	require.LessOrEqual(t, server.Stats().Lists, int64(6), "pages fetched ahead are bounded")
}

func TestEachPageOfAStreamHasTheClientsTimeOut(t *testing.T) {
	server := serve(t, fakes3.Options{N: 40})
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.Slow, Delay: 120 * time.Millisecond}))
	lister := open(t, server.URL, func(o *buckets.Options) { o.Timeout = 400 * time.Millisecond })
	n := 0
	for _, err := range lister.Pages(context.Background(), buckets.Query{PageSize: 8}) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 5, n)
	server.ClearFaults()
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.BlackHole, Op: "list", After: 1}))
	var failed error
	for _, err := range lister.Pages(context.Background(), buckets.Query{PageSize: 8}) {
		failed = err
	}
	require.ErrorIs(t, failed, awserr.Timeout)
}

func TestThrottlingSlowsTheLookUpsAndLosesNone(t *testing.T) {
	server := serve(t, fakes3.Options{N: 300, Quirks: fakes3.NeverTell})
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.Throttle, Op: "head", Rate: 150, Burst: 20}))
	listing, err := open(t, server.URL, func(o *buckets.Options) { o.Timeout = 30 * time.Second }).List(context.Background(), buckets.Query{})
	require.NoError(t, err)
	require100(t, listing.Buckets, 300)
}

func TestABucketThatIsThrottledForEverLeavesTheListingTime(t *testing.T) {
	server := serve(t, fakes3.Options{N: 10, Quirks: fakes3.NeverTell})
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.Throttle, Bucket: "bucket-00004"}))
	lister := open(t, server.URL, func(o *buckets.Options) { o.Timeout = 3 * time.Second })
	listing, err := lister.List(context.Background(), buckets.Query{})
	require.NoError(t, err)
	require.Len(t, listing.Buckets, 10)
	require.ErrorIs(t, listing.Buckets[4].Err, awserr.Throttled)
	require.Equal(t, "sa-east-1", listing.Buckets[5].Region)
	for page, err := range lister.Pages(context.Background(), buckets.Query{}) {
		require.NoError(t, err)
		require.ErrorIs(t, page.Buckets[4].Err, awserr.Throttled)
	}
}

func TestAUsersOwnClientServes(t *testing.T) {
	server := serve(t, fakes3.Options{N: 30, Quirks: fakes3.NeverTell})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "x", "")})
	lister, err := buckets.NewFromAPI(client, buckets.Options{})
	require.NoError(t, err)
	require.NoError(t, lister.Preconnect(context.Background()))
	listing, err := lister.List(context.Background(), buckets.Query{})
	require.NoError(t, err)
	require100(t, listing.Buckets, 30)
}

// api is AWS as far as region filters go.
type api struct {
	s3.Client
	inputs  []*s3.ListBucketsInput
	regions []string
}

func (a *api) Do(r *http.Request) (*http.Response, error) {
	a.regions = append(a.regions, r.URL.Host+"?"+r.URL.Query().Get("bucket-region"))
	recorder := httptest.NewRecorder()
	fmt.Fprint(recorder, `<ListAllMyBucketsResult><Buckets><Bucket><Name>one</Name><BucketRegion>eu-west-1</BucketRegion></Bucket></Buckets></ListAllMyBucketsResult>`)
	return recorder.Result(), nil
}

func TestAFilterAsksTheRegionsOwnEndpointOnAWS(t *testing.T) {
	seen := &api{}
	lister, err := buckets.New(buckets.Options{Env: keys, Region: "us-west-2", HTTPClient: seen})
	require.NoError(t, err)
	listing, err := lister.List(context.Background(), buckets.Query{Region: "eu-west-1"})
	require.NoError(t, err)
	require.Len(t, listing.Buckets, 1)
	_, err = lister.List(context.Background(), buckets.Query{})
	require.NoError(t, err)
	require.Equal(t, []string{"s3.eu-west-1.amazonaws.com?eu-west-1", "s3.us-west-2.amazonaws.com?"}, seen.regions)
}

func TestTheUserAgentNamesUs(t *testing.T) {
	var agent atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent.Store(r.UserAgent())
		fmt.Fprint(w, "<ListAllMyBucketsResult/>")
	}))
	defer server.Close()
	_, err := open(t, server.URL, nil).List(context.Background(), buckets.Query{})
	require.NoError(t, err)
	require.Contains(t, agent.Load(), "glowplug/")
}

func TestARefusalCarriesStatusAndRequestID(t *testing.T) {
	server := serve(t, fakes3.Options{N: 1})
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.Deny}))
	_, err := open(t, server.URL, nil).List(context.Background(), buckets.Query{})
	e := requireCode(t, err, "AccessDenied")
	require.Equal(t, 403, e.Status)
	require.NotEmpty(t, e.RequestID)
	require.Equal(t, "ListBuckets", e.Operation)
	require.False(t, e.Retryable)
	require.Contains(t, e.Message, "s3:ListAllMyBuckets")
}

func TestPreconnectLeavesAConnectionForTheFirstCall(t *testing.T) {
	server := serve(t, fakes3.Options{N: 3})
	lister := open(t, server.URL, nil)
	require.NoError(t, lister.Preconnect(context.Background()))
	require.EqualValues(t, 0, server.Stats().Reqs)
	_, err := lister.List(context.Background(), buckets.Query{})
	require.NoError(t, err)
	require.EqualValues(t, 1, server.Stats().Conns)
}

func TestOptionsThatCannotBeUsed(t *testing.T) {
	for sentence, o := range map[string]buckets.Options{
		"a negative time-out":           {Timeout: -1},
		"a negative attempt time-out":   {AttemptTimeout: -1},
		"too many attempts":             {MaxAttempts: 101},
		"a negative concurrency":        {MaxConcurrency: -1},
		"too much concurrency":          {MaxConcurrency: 1025},
		"a region with a slash":         {Region: "eu/../"},
		"an endpoint that is no URL":    {EndpointURL: "localhost:9000"},
		"an endpoint with a password":   {EndpointURL: "http://u:canary-secret@h"},
		"a key without a secret":        {AccessKeyID: "AKID"},
		"a profile that does not exist": {Profile: "nobody", Env: map[string]string{"HOME": "/nonexistent"}},
		"an unknown addressing style":   {AddressingStyle: "diagonal"},
		"a CA bundle that is not there": {CABundle: "/nonexistent.pem", EndpointURL: "https://127.0.0.1:1"},
	} {
		t.Run(sentence, func(t *testing.T) {
			lister, err := buckets.New(o)
			if err == nil {
				_, err = lister.List(context.Background(), buckets.Query{})
			}
			require.ErrorIs(t, err, awserr.Invalid)
			require.NotContains(t, err.Error(), "canary-secret")
		})
	}
	server := serve(t, fakes3.Options{})
	for sentence, q := range map[string]buckets.Query{
		"a negative limit":  {Limit: -1},
		"a large page":      {PageSize: 10_001},
		"a region as a URL": {Region: "http://x"},
	} {
		_, err := open(t, server.URL, nil).List(context.Background(), q)
		require.ErrorIs(t, err, awserr.Invalid, sentence)
	}
	require.EqualValues(t, 0, server.Stats().Reqs)
}

func TestManyCallersShareOneLister(t *testing.T) {
	server := serve(t, fakes3.Options{N: 30, Quirks: fakes3.NeverTell})
	lister := open(t, server.URL, func(o *buckets.Options) { o.Timeout = time.Minute })
	done := make(chan error, 64)
	for range cap(done) {
		go func() {
			listing, err := lister.List(context.Background(), buckets.Query{})
			if err == nil && (len(listing.Buckets) != 30 || slices.ContainsFunc(listing.Buckets, func(b buckets.Bucket) bool { return b.Region == "" })) {
				err = fmt.Errorf("%d buckets", len(listing.Buckets))
			}
			done <- err
		}()
	}
	for range cap(done) {
		require.NoError(t, <-done)
	}
}

func TestAServersNamesThatAreNoneAreNotAskedFor(t *testing.T) {
	server := serve(t, fakes3.Options{Quirks: fakes3.NeverTell, Buckets: []fakes3.Bucket{{Name: "../../admin"}, {Name: "good-one"}}})
	listing, err := open(t, server.URL, nil).List(context.Background(), buckets.Query{})
	require.NoError(t, err)
	require.ErrorIs(t, listing.Buckets[0].Err, awserr.Invalid)
	require.Equal(t, "us-east-1", listing.Buckets[1].Region)
	require.EqualValues(t, 1, server.Stats().Heads)
}

func ExampleLister_List() {
	server, err := fakes3.NewServer(fakes3.Options{N: 3})
	if err != nil {
		panic(err)
	}
	defer server.Close()

	lister, err := buckets.New(buckets.Options{EndpointURL: server.URL, AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"})
	if err != nil {
		panic(err)
	}
	defer lister.Close()
	listing, err := lister.List(context.Background(), buckets.Query{})
	if err != nil {
		panic(err)
	}
	for _, b := range listing.Buckets {
		fmt.Println(b.Name, b.Region, b.Created.Format(time.DateOnly))
	}
	// Output:
	// bucket-00000 us-east-1 2024-03-01
	// bucket-00001 us-west-2 2024-03-01
	// bucket-00002 eu-west-1 2024-03-01
}

func ExampleNewFromAPI() {
	server, err := fakes3.NewServer(fakes3.Options{N: 3, Quirks: fakes3.NeverTell})
	if err != nil {
		panic(err)
	}
	defer server.Close()

	client := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")})
	lister, err := buckets.NewFromAPI(client, buckets.Options{})
	if err != nil {
		panic(err)
	}
	region, err := lister.Region(context.Background(), "bucket-00002")
	fmt.Println(region, err)
	// Output: eu-west-1 <nil>
}
