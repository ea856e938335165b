package fakes3_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/glowplug/glowplug/gomod/fakes3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t testing.TB, o fakes3.Options) *fakes3.Server {
	t.Helper()
	srv, err := fakes3.NewServer(o)
	require.NoError(t, err)
	t.Cleanup(srv.Close)
	return srv
}

// client is the real one, with a single attempt per call.
func client(t testing.TB, srv *fakes3.Server, change ...func(*s3.Options)) *s3.Client {
	t.Helper()
	o := s3.Options{BaseEndpoint: &srv.URL, UsePathStyle: true, Region: "us-east-1", RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("AK", "SK", "")}
	transport := &http.Transport{}
	if srv.CA != nil {
		pool := x509.NewCertPool()
		require.True(t, pool.AppendCertsFromPEM(srv.CA))
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	o.HTTPClient = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(transport.CloseIdleConnections)
	for _, c := range change {
		c(&o)
	}
	return s3.New(o)
}

func keys(id, secret, token string) func(*s3.Options) {
	return func(o *s3.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token) }
}

func region(name string) func(*s3.Options) { return func(o *s3.Options) { o.Region = name } }

func anonymous(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} }

// said is the status and the code of an error of the service.
func said(err error) string {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) {
		return fmt.Sprint(err)
	}
	out := fmt.Sprint(response.HTTPStatusCode())
	if api := smithy.APIError(nil); errors.As(err, &api) {
		out += " " + api.ErrorCode()
	}
	return out
}

// list reads all pages; the SDK's own paginator would not send max-buckets 0.
func list(c *s3.Client, in s3.ListBucketsInput) (names, regions []string, err error) {
	for {
		page, err := c.ListBuckets(context.Background(), &in)
		if err != nil {
			return names, regions, err
		}
		for _, b := range page.Buckets {
			names, regions = append(names, *b.Name), append(regions, aws.ToString(b.BucketRegion))
		}
		if in.ContinuationToken = page.ContinuationToken; in.ContinuationToken == nil {
			return names, regions, nil
		}
	}
}

func TestNamesAndRegionsAreThoseOfTheAnchors(t *testing.T) {
	srv := start(t, fakes3.Options{N: 25})
	names, regions, err := list(client(t, srv), s3.ListBucketsInput{MaxBuckets: aws.Int32(10)})
	require.NoError(t, err)
	require.Len(t, names, 25)
	for i := range names {
		require.Equal(t, fmt.Sprintf("bucket-%05d", i), names[i])
		require.Equal(t, fakes3.DefaultRegions[i%7], regions[i])
	}
	require.EqualValues(t, 3, srv.Stats().Lists)
}

func TestListBuckets(t *testing.T) {
	given := []fakes3.Bucket{
		{Name: "zeta", Region: "eu-west-1", Created: time.Date(2020, 2, 29, 1, 2, 3, 4_000_000, time.UTC)},
		{Name: "alpha"}, {Name: "alpine", Region: "eu-west-1"}, {Name: "theirs", Foreign: true},
	}
	for sentence, c := range map[string]struct {
		options fakes3.Options
		in      s3.ListBucketsInput
		want    string
	}{
		"without parameters no region is told":                  {in: s3.ListBucketsInput{}, want: "alpha= alpine= zeta="},
		"max-buckets tells regions":                             {in: s3.ListBucketsInput{MaxBuckets: aws.Int32(1000)}, want: "alpha=us-east-1 alpine=eu-west-1 zeta=eu-west-1"},
		"a prefix tells regions":                                {in: s3.ListBucketsInput{Prefix: aws.String("al")}, want: "alpha=us-east-1 alpine=eu-west-1"},
		"bucket-region filters":                                 {in: s3.ListBucketsInput{BucketRegion: aws.String("eu-west-1")}, want: "alpine=eu-west-1 zeta=eu-west-1"},
		"filters combine":                                       {in: s3.ListBucketsInput{BucketRegion: aws.String("eu-west-1"), Prefix: aws.String("z"), MaxBuckets: aws.Int32(1)}, want: "zeta=eu-west-1"},
		"pages of one":                                          {in: s3.ListBucketsInput{MaxBuckets: aws.Int32(1)}, want: "alpha=us-east-1 alpine=eu-west-1 zeta=eu-west-1"},
		"a server that never tells":                             {options: fakes3.Options{Quirks: fakes3.NeverTell}, in: s3.ListBucketsInput{MaxBuckets: aws.Int32(2)}, want: "alpha= alpine= zeta="},
		"a server that ignores bucket-region":                   {options: fakes3.Options{Quirks: fakes3.IgnoreBucketRegion}, in: s3.ListBucketsInput{BucketRegion: aws.String("eu-west-1")}, want: "alpha=us-east-1 alpine=eu-west-1 zeta=eu-west-1"},
		"a server that says its own region":                     {options: fakes3.Options{Quirks: fakes3.OwnRegionAlways, Region: "us-east-1"}, in: s3.ListBucketsInput{MaxBuckets: aws.Int32(2)}, want: "alpha=us-east-1 alpine=us-east-1 zeta=us-east-1"},
		"a server that cuts without a token":                    {options: fakes3.Options{Quirks: fakes3.NoToken}, in: s3.ListBucketsInput{MaxBuckets: aws.Int32(2)}, want: "alpha=us-east-1 alpine=eu-west-1"},
		"a server that ignores max-buckets":                     {options: fakes3.Options{Quirks: fakes3.IgnoreMaxBuckets}, in: s3.ListBucketsInput{MaxBuckets: aws.Int32(1)}, want: "alpha=us-east-1 alpine=eu-west-1 zeta=eu-west-1"},
		"max-buckets 0 is refused":                              {in: s3.ListBucketsInput{MaxBuckets: aws.Int32(0)}, want: "400 InvalidArgument"},
		"max-buckets 10,001 is refused":                         {in: s3.ListBucketsInput{MaxBuckets: aws.Int32(10001)}, want: "400 InvalidArgument"},
		"a made-up token is refused":                            {in: s3.ListBucketsInput{ContinuationToken: aws.String("bm90LW9uZQ")}, want: "400 InvalidArgument"},
		"a strict endpoint refuses to filter by another region": {options: fakes3.Options{Region: "us-east-1"}, in: s3.ListBucketsInput{BucketRegion: aws.String("eu-west-1")}, want: "400 InvalidArgument"},
		"above the default quota unpaginated calls are refused": {options: fakes3.Options{Quota: 10001}, in: s3.ListBucketsInput{}, want: "400 InvalidRequest"},
		"above the default quota paginated calls are not":       {options: fakes3.Options{Quota: 10001}, in: s3.ListBucketsInput{Prefix: aws.String("z")}, want: "zeta=eu-west-1"},
	} {
		t.Run(sentence, func(t *testing.T) {
			c.options.Buckets = given
			names, regions, err := list(client(t, start(t, c.options)), c.in)
			var got []string
			for i := range names {
				got = append(got, names[i]+"="+regions[i])
			}
			if err != nil {
				got = []string{said(err)}
			}
			require.Equal(t, c.want, strings.Join(got, " "))
		})
	}
}

func TestTheListingCarriesOwnerPrefixAndDates(t *testing.T) {
	srv := start(t, fakes3.Options{Buckets: []fakes3.Bucket{{Name: "a&<b>\"", Created: time.Date(2020, 2, 29, 1, 2, 3, 4_000_000, time.UTC)}}})
	out, err := client(t, srv).ListBuckets(t.Context(), &s3.ListBucketsInput{Prefix: aws.String("a&")})
	require.NoError(t, err)
	require.Equal(t, "a&", *out.Prefix)
	require.Len(t, *out.Owner.ID, 64)
	require.Equal(t, "a&<b>\"", *out.Buckets[0].Name)
	require.Equal(t, time.Date(2020, 2, 29, 1, 2, 3, 4_000_000, time.UTC), *out.Buckets[0].CreationDate)
	require.Nil(t, out.ContinuationToken)
}

func TestATokenOutlivesTheBucketItPointsTo(t *testing.T) {
	srv := start(t, fakes3.Options{Buckets: []fakes3.Bucket{{Name: "a"}, {Name: "b"}, {Name: "c"}}})
	c := client(t, srv)
	out, err := c.ListBuckets(t.Context(), &s3.ListBucketsInput{MaxBuckets: aws.Int32(1)})
	require.NoError(t, err)
	require.NoError(t, srv.Update(func(o *fakes3.Options) { o.Buckets = []fakes3.Bucket{{Name: "a"}, {Name: "c"}} }))
	out, err = c.ListBuckets(t.Context(), &s3.ListBucketsInput{MaxBuckets: aws.Int32(1), ContinuationToken: out.ContinuationToken})
	require.NoError(t, err)
	require.Equal(t, "c", *out.Buckets[0].Name)
}

func TestTokensThatNeverEnd(t *testing.T) {
	for quirk, differ := range map[fakes3.Quirks]bool{fakes3.RepeatToken: false, fakes3.EndlessTokens: true} {
		t.Run(quirk.String(), func(t *testing.T) {
			c := client(t, start(t, fakes3.Options{N: 3, Quirks: quirk}))
			in := s3.ListBucketsInput{MaxBuckets: aws.Int32(2)}
			seen := map[string]bool{}
			for range 20 {
				out, err := c.ListBuckets(t.Context(), &in)
				require.NoError(t, err)
				require.NotNil(t, out.ContinuationToken)
				seen[*out.ContinuationToken] = true
				in.ContinuationToken = out.ContinuationToken
			}
			require.Equal(t, differ, len(seen) == 20)
		})
	}
}

func TestNamesOfSixDigitsSortAmongThoseOfFive(t *testing.T) {
	srv := start(t, fakes3.Options{N: 200_000})
	names, _, err := list(client(t, srv), s3.ListBucketsInput{MaxBuckets: aws.Int32(50), Prefix: aws.String("bucket-1999")})
	require.NoError(t, err)
	require.Len(t, names, 110)
	require.IsIncreasing(t, names)
}

func TestHeadBucket(t *testing.T) {
	buckets := []fakes3.Bucket{{Name: "mine", Region: "eu-west-1"}, {Name: "theirs", Region: "sa-east-1", Foreign: true}}
	for sentence, c := range map[string]struct {
		options fakes3.Options
		as      []func(*s3.Options)
		bucket  string
		want    string
	}{
		"an own bucket":                                 {bucket: "mine", want: "200 eu-west-1"},
		"a missing bucket":                              {bucket: "none", want: "404 "},
		"a foreign bucket":                              {bucket: "theirs", want: "403 sa-east-1"},
		"an anonymous caller":                           {bucket: "mine", as: []func(*s3.Options){anonymous}, want: "403 eu-west-1"},
		"an anonymous caller and a missing bucket":      {bucket: "none", as: []func(*s3.Options){anonymous}, want: "404 "},
		"a strict endpoint of another region":           {options: fakes3.Options{Region: "us-east-1"}, bucket: "mine", want: "301 eu-west-1"},
		"the global endpoint's answer":                  {options: fakes3.Options{Region: "us-east-1", BadRegion: 400}, bucket: "mine", want: "400 eu-west-1"},
		"a signature for another region":                {options: fakes3.Options{Region: "eu-west-1"}, bucket: "mine", want: "400 eu-west-1"},
		"a strict endpoint of its region":               {options: fakes3.Options{Region: "eu-west-1"}, as: []func(*s3.Options){region("eu-west-1")}, bucket: "mine", want: "200 eu-west-1"},
		"an endpoint for each signature, the wrong one": {options: fakes3.Options{Region: fakes3.Signed}, bucket: "mine", want: "301 eu-west-1"},
		"an endpoint for each signature, the right one": {options: fakes3.Options{Region: fakes3.Signed}, as: []func(*s3.Options){region("eu-west-1")}, bucket: "mine", want: "200 eu-west-1"},
		"an unknown key":                                {options: fakes3.Options{Keys: []fakes3.Key{{ID: "other"}}}, bucket: "mine", want: "403 eu-west-1"},
		"a server that says its own region":             {options: fakes3.Options{Quirks: fakes3.OwnRegionAlways}, bucket: "mine", want: "200 us-east-1"},
	} {
		t.Run(sentence, func(t *testing.T) {
			c.options.Buckets = buckets
			srv := start(t, c.options)
			out, err := client(t, srv, c.as...).HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: &c.bucket})
			got := ""
			var response *smithyhttp.ResponseError
			switch {
			case err == nil:
				got = "200 " + *out.BucketRegion
			case errors.As(err, &response):
				got = fmt.Sprint(response.HTTPStatusCode(), " ", response.HTTPResponse().Header.Get("x-amz-bucket-region"))
				body, err := io.ReadAll(response.HTTPResponse().Body)
				require.NoError(t, err)
				require.Empty(t, body)
			}
			require.Equal(t, c.want, got)
			require.EqualValues(t, 1, srv.Stats().Heads)
		})
	}
}

func TestGetBucketLocation(t *testing.T) {
	buckets := []fakes3.Bucket{{Name: "us"}, {Name: "eu", Region: "eu-west-1"}, {Name: "af", Region: "af-south-1"}, {Name: "theirs", Foreign: true}}
	for sentence, c := range map[string]struct {
		options fakes3.Options
		bucket  string
		want    string
	}{
		"null for us-east-1":                    {bucket: "us", want: ""},
		"the region elsewhere":                  {bucket: "af", want: "af-south-1"},
		"eu-west-1 in full":                     {bucket: "eu", want: "eu-west-1"},
		"EU for buckets made long ago":          {options: fakes3.Options{OldEU: true}, bucket: "eu", want: "EU"},
		"asked through another region's server": {options: fakes3.Options{Region: "us-east-1"}, bucket: "af", want: "af-south-1"},
		"missing":                               {bucket: "none", want: "404 NoSuchBucket"},
		"foreign":                               {bucket: "theirs", want: "403 AccessDenied"},
	} {
		t.Run(sentence, func(t *testing.T) {
			c.options.Buckets = buckets
			out, err := client(t, start(t, c.options)).GetBucketLocation(t.Context(), &s3.GetBucketLocationInput{Bucket: &c.bucket})
			got := said(err)
			if err == nil {
				got = string(out.LocationConstraint)
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestSignatures(t *testing.T) {
	known := []fakes3.Key{{ID: "AK", Secret: "SK"}, {ID: "ASIA", Secret: "SK", Token: "T"}, {ID: "OLD", Secret: "SK", Token: "T", Expires: time.Now().Add(-time.Second)}}
	skewed := func() time.Time { return time.Now().Add(16 * time.Minute) }
	for sentence, c := range map[string]struct {
		options fakes3.Options
		as      func(*s3.Options)
		want    string
	}{
		"right":                             {as: keys("AK", "SK", ""), want: "ok"},
		"right with a token":                {as: keys("ASIA", "SK", "T"), want: "ok"},
		"unknown key":                       {as: keys("XX", "SK", ""), want: "403 InvalidAccessKeyId"},
		"wrong secret":                      {as: keys("AK", "no", ""), want: "403 SignatureDoesNotMatch"},
		"wrong token":                       {as: keys("ASIA", "SK", "U"), want: "400 InvalidToken"},
		"missing token":                     {as: keys("ASIA", "SK", ""), want: "400 InvalidToken"},
		"expired token":                     {as: keys("OLD", "SK", "T"), want: "400 ExpiredToken"},
		"anonymous is sent to the shop":     {as: anonymous, want: "307 TemporaryRedirect"},
		"anonymous is denied where ordered": {options: fakes3.Options{DenyAnon: true}, as: anonymous, want: "403 AccessDenied"},
		"a clock 16 minutes off":            {options: fakes3.Options{Now: skewed}, as: keys("AK", "SK", ""), want: "403 RequestTimeTooSkewed"},
	} {
		t.Run(sentence, func(t *testing.T) {
			c.options.Keys, c.options.N = known, 30
			_, _, err := list(client(t, start(t, c.options), c.as), s3.ListBucketsInput{MaxBuckets: aws.Int32(7), Prefix: aws.String("bucket-0")})
			got := "ok"
			if err != nil {
				got = said(err)
			}
			require.Equal(t, c.want, got)
		})
	}
}

// The requests and signatures of "Signature Calculations for the Authorization
// Header", Amazon S3 API Reference. The surface answers them 501 once they pass.
func TestSignaturesOfTheS3Reference(t *testing.T) {
	day := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	h, err := fakes3.New(fakes3.Options{
		Domain: "s3.amazonaws.com", Buckets: []fakes3.Bucket{{Name: "examplebucket"}}, Now: func() time.Time { return day },
		Keys: []fakes3.Key{{ID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}},
	})
	require.NoError(t, err)
	for sentence, c := range map[string]struct {
		query, signature string
		status           int
	}{
		"Get Bucket Lifecycle":           {"lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543", 501},
		"List Objects":                   {"max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7", 501},
		"the same with another argument": {"max-keys=3&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7", 403},
	} {
		t.Run(sentence, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "http://examplebucket.s3.amazonaws.com/?"+c.query, nil)
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature="+c.signature)
			r.Header.Set("x-amz-date", "20130524T000000Z")
			r.Header.Set("x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, c.status, w.Code, w.Body)
		})
	}
}

func TestAnswersLookLikeS3(t *testing.T) {
	srv := start(t, fakes3.Options{N: 1})
	_, err := client(t, srv).GetBucketLocation(t.Context(), &s3.GetBucketLocationInput{Bucket: aws.String("none")})
	var response *smithyhttp.ResponseError
	require.ErrorAs(t, err, &response)
	head := response.HTTPResponse().Header
	require.Regexp(t, `^[0-9A-Z]{16}$`, head.Get("x-amz-request-id"))
	require.Regexp(t, `^[0-9A-Za-z+/]{75}=$`, head.Get("x-amz-id-2"))
	require.Equal(t, "AmazonS3", head.Get("Server"))
	require.Equal(t, "application/xml", head.Get("Content-Type"))
	_, err = http.ParseTime(head.Get("Date"))
	require.NoError(t, err)
}

func TestVirtualHostedBuckets(t *testing.T) {
	srv := start(t, fakes3.Options{N: 3})
	at := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	dial := (&net.Dialer{}).DialContext
	c := client(t, srv, func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = &at, false
		o.HTTPClient.(*http.Client).Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial(ctx, network, strings.TrimPrefix(srv.URL, "http://"))
		}
	})
	out, err := c.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("bucket-00002")})
	require.NoError(t, err)
	require.Equal(t, "eu-west-1", *out.BucketRegion)
	_, _, err = list(c, s3.ListBucketsInput{MaxBuckets: aws.Int32(2)})
	require.NoError(t, err)
}

func TestOptionsThatContradictThemselves(t *testing.T) {
	for sentence, o := range map[string]fakes3.Options{
		"a negative number":    {N: -1},
		"two of one name":      {Buckets: []fakes3.Bucket{{Name: "a"}, {Name: "a"}}},
		"an impossible status": {BadRegion: 302},
		"an unknown variant":   {TLS: "sslv2"},
		"an address in use":    {Addr: start(t, fakes3.Options{}).URL[len("http://"):]},
		"nowhere to write":     {TLS: fakes3.ValidTLS, CertDir: filepath.Join(t.TempDir(), "no", "such")},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := fakes3.NewServer(o)
			require.Error(t, err)
		})
	}
}

func TestQuirksAreNamed(t *testing.T) {
	const all = "never-tell,ignore-max-buckets,own-region,repeat-token,endless-tokens,no-token,ignore-bucket-region"
	q, err := fakes3.ParseQuirks(all)
	require.NoError(t, err)
	require.Equal(t, all, q.String())
	_, err = fakes3.ParseQuirks("never-tel")
	require.ErrorContains(t, err, "never-tel")
}

func TestTLSVariants(t *testing.T) {
	for variant, want := range map[fakes3.TLS]string{
		fakes3.ValidTLS:   "",
		fakes3.Expired:    "expired",
		fakes3.WrongHost:  "127.0.0.1",
		fakes3.SelfSigned: "unknown authority",
		fakes3.Untrusted:  "unknown authority",
		fakes3.TLS11:      "protocol version",
	} {
		t.Run(string(variant), func(t *testing.T) {
			dir := t.TempDir()
			srv := start(t, fakes3.Options{N: 2, TLS: variant, CertDir: dir})
			written, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
			require.NoError(t, err)
			require.Equal(t, srv.CA, written)
			_, _, err = list(client(t, srv), s3.ListBucketsInput{MaxBuckets: aws.Int32(1)})
			if want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestStatsCountConnections(t *testing.T) {
	srv := start(t, fakes3.Options{N: 3, Delay: time.Millisecond, ConnDelay: time.Millisecond})
	c := client(t, srv)
	for range 3 {
		_, _, err := list(c, s3.ListBucketsInput{MaxBuckets: aws.Int32(3)})
		require.NoError(t, err)
	}
	require.Equal(t, fakes3.Stats{Conns: 1, Reqs: 3, Lists: 3}, srv.Stats())
	srv.ResetStats()
	require.Zero(t, srv.Stats())
}

// Whatever is sent, an answer of S3's comes back.
func FuzzHandler(f *testing.F) {
	h, err := fakes3.New(fakes3.Options{N: 30, Keys: []fakes3.Key{{ID: "A", Secret: "S"}}})
	require.NoError(f, err)
	open, err := fakes3.New(fakes3.Options{N: 30})
	require.NoError(f, err)
	const signed = "AWS4-HMAC-SHA256 Credential=A/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-date,Signature=0"
	f.Add("max-buckets=1&continuation-token=RXAfcicFfBkgBDJCdUAuQg", signed)
	f.Add("prefix=%ff&bucket-region=x", "AWS4-HMAC-SHA256 Credential=A")
	f.Add("", "AWS A:b")
	f.Fuzz(func(t *testing.T, query, authorization string) {
		for _, h := range []*fakes3.Handler{h, open} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.URL.RawQuery = query
			r.Header.Set("Authorization", authorization)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Contains(t, []int{200, 307, 400, 403}, w.Code)
			if w.Code != 307 {
				require.Equal(t, w.Code == 200, strings.HasSuffix(w.Body.String(), "</ListAllMyBucketsResult>"))
			}
		}
	})
}

func BenchmarkPageOf1000(b *testing.B) {
	h, err := fakes3.New(fakes3.Options{N: 1000})
	require.NoError(b, err)
	r := httptest.NewRequest(http.MethodGet, "/?max-buckets=1000", nil)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=A/20130524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=0")
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(discard{http.Header{}}, r)
	}
}

type discard struct{ head http.Header }

func (d discard) Header() http.Header       { return d.head }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func ExampleNewServer() {
	srv, err := fakes3.NewServer(fakes3.Options{N: 3})
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	c := s3.New(s3.Options{BaseEndpoint: &srv.URL, UsePathStyle: true, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("any", "any", "")})
	out, err := c.ListBuckets(context.Background(), &s3.ListBucketsInput{MaxBuckets: aws.Int32(1000)})
	if err != nil {
		panic(err)
	}
	for _, b := range out.Buckets {
		fmt.Println(*b.Name, *b.BucketRegion)
	}
	// Output:
	// bucket-00000 us-east-1
	// bucket-00001 us-west-2
	// bucket-00002 eu-west-1
}
