package fakes3_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/fakes3"
)

// get is one signed-looking request; the connection is not kept.
func get(t testing.TB, srv *fakes3.Server, path string) (*http.Response, error) {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+path, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=A/20130524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=0")
	resp, err := transport.RoundTrip(r)
	if err == nil {
		t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

func TestFaultsThatAnswer(t *testing.T) {
	for sentence, c := range map[string]struct {
		fault fakes3.Fault
		want  string
	}{
		"throttle":                 {fakes3.Fault{Kind: fakes3.Throttle}, "503 SlowDown"},
		"deny":                     {fakes3.Fault{Kind: fakes3.Deny}, "403 AccessDenied"},
		"status":                   {fakes3.Fault{Kind: fakes3.Status}, "500 InternalError"},
		"status 503":               {fakes3.Fault{Kind: fakes3.Status, Status: 503}, "503 ServiceUnavailable"},
		"status 418":               {fakes3.Fault{Kind: fakes3.Status, Status: 418}, "418 I'mateapot"},
		"status with code":         {fakes3.Fault{Kind: fakes3.Status, Status: 400, Code: "RequestTimeout"}, "400 RequestTimeout"},
		"redirect":                 {fakes3.Fault{Kind: fakes3.Redirect, Location: "http://127.0.0.2:1"}, "307 TemporaryRedirect"},
		"another operation's":      {fakes3.Fault{Kind: fakes3.Deny, Op: "head"}, "ok"},
		"another bucket's":         {fakes3.Fault{Kind: fakes3.Deny, Bucket: "bucket-*"}, "ok"},
		"one that comes later":     {fakes3.Fault{Kind: fakes3.Deny, After: 1}, "ok"},
		"slow, but in good health": {fakes3.Fault{Kind: fakes3.Slow, Delay: time.Millisecond}, "ok"},
		"dripping, but complete":   {fakes3.Fault{Kind: fakes3.SlowBody, Delay: time.Millisecond, Bytes: 100}, "ok"},
		"dripping at a rate":       {fakes3.Fault{Kind: fakes3.SlowBody, Rate: 1 << 20}, "ok"},
	} {
		t.Run(sentence, func(t *testing.T) {
			srv := start(t, fakes3.Options{N: 10})
			require.NoError(t, srv.Order(c.fault))
			cl := client(t, srv)
			_, _, err := list(cl, s3.ListBucketsInput{MaxBuckets: aws.Int32(10)})
			got := "ok"
			if err != nil {
				got = said(err)
			}
			require.Equal(t, c.want, got)
			srv.ClearFaults()
			_, _, err = list(cl, s3.ListBucketsInput{MaxBuckets: aws.Int32(10)})
			require.NoError(t, err)
		})
	}
}

func TestADeniedBucketStillTellsItsRegion(t *testing.T) {
	srv := start(t, fakes3.Options{N: 3})
	require.NoError(t, srv.Order(fakes3.Fault{Kind: fakes3.Deny, Bucket: "bucket-00001"}))
	for name, want := range map[string]int{"bucket-00000": 200, "bucket-00001": 403} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, srv.URL+"/"+name, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=A/20130524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=0")
		transport := &http.Transport{}
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		transport.CloseIdleConnections()
		require.Equal(t, want, resp.StatusCode)
		require.NotEmpty(t, resp.Header.Get("x-amz-bucket-region"))
	}
	srv.ClearFaults()
	require.NoError(t, srv.Order(fakes3.Fault{Kind: fakes3.NoRegion}))
	out, err := client(t, srv).HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("bucket-00001")})
	require.NoError(t, err)
	require.Nil(t, out.BucketRegion)
}

func TestSelectorsCount(t *testing.T) {
	srv := start(t, fakes3.Options{N: 1})
	require.NoError(t, srv.Order(fakes3.Fault{Kind: fakes3.Status, After: 2, Every: 2, Times: 2}))
	c := client(t, srv)
	got := ""
	for range 10 {
		if _, _, err := list(c, s3.ListBucketsInput{MaxBuckets: aws.Int32(1)}); err != nil {
			got += "x"
		} else {
			got += "."
		}
	}
	require.Equal(t, "...x.x....", got)
	require.Empty(t, srv.Faults())
	require.EqualValues(t, 2, srv.Stats().Faulted)
}

func TestThrottleAdmitsItsRate(t *testing.T) {
	srv := start(t, fakes3.Options{N: 1})
	require.NoError(t, srv.Order(fakes3.Fault{Kind: fakes3.Throttle, Rate: 100, Burst: 1}))
	c := client(t, srv)
	began, admitted := time.Now(), 0
	for time.Since(began) < 300*time.Millisecond {
		if _, _, err := list(c, s3.ListBucketsInput{MaxBuckets: aws.Int32(1)}); err == nil {
			admitted++
		}
	}
	most := 1 + int(100*time.Since(began).Seconds())
	require.LessOrEqual(t, admitted, most)
	require.Greater(t, admitted, most/3)
	require.EqualValues(t, srv.Stats().Reqs-int64(admitted), srv.Stats().Refused)
}

func TestBrokenConnections(t *testing.T) {
	for sentence, c := range map[string]struct {
		fault fakes3.Fault
		tls   fakes3.TLS
		want  error
	}{
		"drop":               {fakes3.Fault{Kind: fakes3.Drop}, fakes3.NoTLS, io.EOF},
		"drop over TLS":      {fakes3.Fault{Kind: fakes3.Drop}, fakes3.ValidTLS, io.EOF},
		"reset":              {fakes3.Fault{Kind: fakes3.Reset}, fakes3.NoTLS, syscall.ECONNRESET},
		"reset over TLS":     {fakes3.Fault{Kind: fakes3.Reset, Bytes: 10}, fakes3.ValidTLS, syscall.ECONNRESET},
		"a body that is cut": {fakes3.Fault{Kind: fakes3.Cut}, fakes3.NoTLS, io.ErrUnexpectedEOF},
	} {
		t.Run(sentence, func(t *testing.T) {
			srv := start(t, fakes3.Options{N: 1000, TLS: c.tls})
			require.NoError(t, srv.Order(c.fault))
			_, _, err := list(client(t, srv), s3.ListBucketsInput{MaxBuckets: aws.Int32(1000)})
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestBlackHolesHoldUntilTheClientGivesUp(t *testing.T) {
	for _, f := range []fakes3.Fault{{Kind: fakes3.BlackHole}, {Kind: fakes3.BlackHoleConn}} {
		for _, variant := range []fakes3.TLS{fakes3.NoTLS, fakes3.ValidTLS} {
			t.Run(string(f.Kind)+string(variant), func(t *testing.T) {
				srv := start(t, fakes3.Options{N: 1, TLS: variant})
				require.NoError(t, srv.Order(f))
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, err := client(t, srv).ListBuckets(ctx, &s3.ListBucketsInput{})
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
	}
}

func TestCloseFreesWhatAFaultHoldsUp(t *testing.T) {
	for _, f := range []fakes3.Fault{{Kind: fakes3.BlackHole}, {Kind: fakes3.BlackHoleConn}, {Kind: fakes3.Slow, Delay: time.Hour}, {Kind: fakes3.SlowBody, Delay: time.Hour}, {Kind: fakes3.Endless}} {
		t.Run(string(f.Kind), func(t *testing.T) {
			srv := start(t, fakes3.Options{N: 1})
			require.NoError(t, srv.Order(f))
			failed := make(chan error)
			go func() {
				resp, err := get(t, srv, "/")
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
				}
				failed <- err
			}()
			require.Eventually(t, func() bool { return srv.Stats().Conns > 0 }, time.Second, time.Millisecond)
			srv.Close()
			require.Error(t, <-failed)
		})
	}
}

func TestOldConnectionsAlone(t *testing.T) {
	srv := start(t, fakes3.Options{N: 1})
	old := client(t, srv)
	in := s3.ListBucketsInput{MaxBuckets: aws.Int32(1)}
	_, _, err := list(old, in)
	require.NoError(t, err)
	require.NoError(t, srv.Order(fakes3.Fault{Kind: fakes3.Status, OldConns: true}))
	_, _, err = list(old, in)
	require.Equal(t, "500 InternalError", said(err))
	_, _, err = list(client(t, srv), in)
	require.NoError(t, err)
}

func TestHostileBodies(t *testing.T) {
	read := func(t *testing.T, f fakes3.Fault, limit int64) string {
		srv := start(t, fakes3.Options{N: 1})
		require.NoError(t, srv.Order(f))
		resp, err := get(t, srv, "/")
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		var in io.Reader = resp.Body
		if resp.Header.Get("Content-Encoding") == "gzip" {
			if in, err = gzip.NewReader(resp.Body); err != nil {
				require.NoError(t, err)
			}
		}
		body, err := io.ReadAll(io.LimitReader(in, limit))
		require.NoError(t, err)
		return string(body)
	}
	t.Run("garbage is no XML", func(t *testing.T) {
		require.NotContains(t, read(t, fakes3.Fault{Kind: fakes3.Garbage}, 1<<20), "</")
	})
	t.Run("invalid UTF-8", func(t *testing.T) {
		require.False(t, utf8.ValidString(read(t, fakes3.Fault{Kind: fakes3.InvalidUTF8}, 1<<20)))
	})
	t.Run("entities", func(t *testing.T) {
		require.Contains(t, read(t, fakes3.Fault{Kind: fakes3.Entities}, 1<<20), "&e8;&e8;")
	})
	t.Run("deep and closed", func(t *testing.T) {
		body := read(t, fakes3.Fault{Kind: fakes3.DeepXML, Bytes: 12345}, 1<<20)
		require.Equal(t, 12345, strings.Count(body, "<a>"))
		require.Equal(t, 12345, strings.Count(body, "</a>"))
	})
	t.Run("big and well-formed", func(t *testing.T) {
		body := read(t, fakes3.Fault{Kind: fakes3.Big, Bytes: 3 << 20}, 1<<30)
		require.Greater(t, len(body), 3<<20)
		require.True(t, strings.HasSuffix(body, "</ListAllMyBucketsResult>"))
	})
	t.Run("endless", func(t *testing.T) {
		require.Len(t, read(t, fakes3.Fault{Kind: fakes3.Endless}, 20<<20), 20<<20)
	})
	t.Run("a gzip bomb unpacks to what was ordered", func(t *testing.T) {
		body := read(t, fakes3.Fault{Kind: fakes3.GzipBomb, Bytes: 16 << 20}, 1<<30)
		require.Greater(t, len(body), 16<<20)
		require.True(t, strings.HasSuffix(body, "</ListAllMyBucketsResult>"))
	})
}

func TestARedirectKeepsThePath(t *testing.T) {
	srv := start(t, fakes3.Options{N: 1})
	require.NoError(t, srv.Order(fakes3.Fault{Kind: fakes3.Redirect, Status: 301, Location: "http://other.example/"}))
	resp, err := get(t, srv, "/bucket-00000?location")
	require.NoError(t, err)
	require.Equal(t, 301, resp.StatusCode)
	require.Equal(t, "http://other.example/bucket-00000?location", resp.Header.Get("Location"))
}

func TestBadOrders(t *testing.T) {
	srv := start(t, fakes3.Options{})
	for sentence, f := range map[string]fakes3.Fault{
		"no kind":             {},
		"unknown kind":        {Kind: "slwo"},
		"unknown op":          {Kind: fakes3.Deny, Op: "put"},
		"negative":            {Kind: fakes3.Slow, Delay: -1},
		"impossible status":   {Kind: fakes3.Status, Status: 42},
		"redirect to nowhere": {Kind: fakes3.Redirect},
	} {
		t.Run(sentence, func(t *testing.T) {
			require.Error(t, srv.Order(fakes3.Fault{Kind: fakes3.Deny}, f))
			require.Empty(t, srv.Faults())
		})
	}
}

func TestAHandlerWithoutAServerBreaksConnectionsToo(t *testing.T) {
	h, err := fakes3.New(fakes3.Options{N: 1})
	require.NoError(t, err)
	require.NoError(t, h.Order(fakes3.Fault{Kind: fakes3.Drop}))
	defer func() {
		err, _ := recover().(error)
		require.True(t, errors.Is(err, http.ErrAbortHandler))
	}()
	h.ServeHTTP(discard{http.Header{}}, httptest.NewRequest(http.MethodGet, "/", nil))
}
