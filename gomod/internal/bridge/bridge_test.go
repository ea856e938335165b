package bridge_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/glowplug/glowplug/gomod/fakes3"
	"github.com/glowplug/glowplug/gomod/internal/bridge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func request(fields ...string) string { return strings.Join(fields, "\x1f") }

func open(t *testing.T, url string, more ...string) string {
	t.Helper()
	id, err := bridge.Open(request(append([]string{"", "endpoint_url=" + url, "$AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "$AWS_SECRET_ACCESS_KEY=canary-secret"}, more...)...))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := bridge.Close(id)
		require.NoError(t, err)
	})
	return id
}

func serve(t *testing.T, o fakes3.Options) *fakes3.Server {
	t.Helper()
	server, err := fakes3.NewServer(o)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	return server
}

var lastCall int

func call() string { lastCall++; return fmt.Sprint(lastCall) }

// finish waits until a call has another answer than pending.
func finish(t *testing.T, id, text string, err error) (string, error) {
	t.Helper()
	for i := 0; err == nil && text == "P"; i++ {
		require.Less(t, i, 1000)
		text, err = bridge.Wait(request(id, "20"))
	}
	return text, err
}

func decode(t *testing.T, err error) map[string]any {
	t.Helper()
	require.Error(t, err)
	require.NotContains(t, err.Error(), "canary-secret")
	fields := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(err.Error()), &fields), err.Error())
	return fields
}

func TestAListingCrossesAsOneString(t *testing.T) {
	server := serve(t, fakes3.Options{Quirks: fakes3.NeverTell, Buckets: []fakes3.Bucket{
		{Name: "aaa", Region: "eu-west-1", Created: time.Date(2020, 1, 2, 3, 4, 5, 60e6, time.UTC)}, {Name: "b/b"}, {Name: "ccc"}}})
	id := call()
	text, err := bridge.Start(request(open(t, server.URL), id, "1000", "list", "limit=2", "timeout=5"))
	text, err = finish(t, id, text, err)
	require.NoError(t, err)
	parts := strings.Split(text, "\x1e")
	require.Len(t, parts, 5)
	require.Equal(t, "D1", parts[0])
	require.Equal(t, request("aaa", "eu-west-1", "2020-01-02T03:04:05.060000+00:00", "b/b", "", "2024-03-01T12:00:00+00:00"), parts[1])
	index, failed, _ := strings.Cut(parts[2], "\x1f")
	require.Equal(t, "1", index)
	require.Contains(t, failed, `"kind":"invalid"`)

	_, err = bridge.Wait(request(id, "1"))
	require.Equal(t, "UnknownCall", decode(t, err)["code"], "a call is forgotten with its last answer")
}

func TestAStreamCrossesPageByPage(t *testing.T) {
	server := serve(t, fakes3.Options{N: 2100})
	id := call()
	text, err := bridge.Start(request(open(t, server.URL), id, "1000", "pages"))
	pages := 0
	for {
		text, err = finish(t, id, text, err)
		require.NoError(t, err)
		if strings.HasPrefix(text, "D") {
			break
		}
		require.True(t, strings.HasPrefix(text, "M\x1e"))
		pages++
		text, err = bridge.Wait(request(id, "20"))
	}
	require.Equal(t, 3, pages)
}

func TestACancelledCallIsForgottenAndLeavesNothing(t *testing.T) {
	server := serve(t, fakes3.Options{N: 1})
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.BlackHole}))
	client := open(t, server.URL)
	for range 20 {
		id := call()
		text, err := bridge.Start(request(client, id, "0", "list"))
		require.NoError(t, err)
		require.Equal(t, "P", text)
		_, err = bridge.Cancel(id)
		require.NoError(t, err)
		_, err = bridge.Wait(request(id, "1"))
		require.Equal(t, "UnknownCall", decode(t, err)["code"])
	}
	_, err := bridge.Cancel("987654321")
	require.NoError(t, err, "of a call that never was")
}

func TestAStreamThatNobodyReadsIsCancelled(t *testing.T) {
	server := serve(t, fakes3.Options{N: 50_000})
	client := open(t, server.URL)
	id := call()
	_, err := bridge.Start(request(client, id, "1000", "pages"))
	require.NoError(t, err)
	_, err = bridge.Cancel(id)
	require.NoError(t, err)
}

func TestAStreamsEndIsNotLostBehindAPageThatWaits(t *testing.T) {
	server := serve(t, fakes3.Options{N: 50_000})
	for sentence, end := range map[string]func(client string){
		"deadline": func(string) { time.Sleep(250 * time.Millisecond) },
		"close": func(client string) {
			_, err := bridge.Close(client)
			require.NoError(t, err)
		},
	} {
		client := open(t, server.URL)
		id := call()
		text, err := bridge.Start(request(client, id, "1000", "pages", "timeout=0.2"))
		end(client)
		for i := 0; err == nil; i++ {
			require.False(t, strings.HasPrefix(text, "D"), sentence)
			require.Less(t, i, 60, sentence)
			text, err = bridge.Wait(request(id, "50"))
		}
		require.NotEqual(t, "UnknownCall", decode(t, err)["code"], sentence)
	}
}

func TestCloseEndsTheCallsUnderWay(t *testing.T) {
	server := serve(t, fakes3.Options{N: 1})
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.BlackHole}))
	client := open(t, server.URL)
	id := call()
	text, err := bridge.Start(request(client, id, "0", "list"))
	require.NoError(t, err)
	_, err = bridge.Close(client)
	require.NoError(t, err)
	_, err = finish(t, id, text, err)
	require.Equal(t, "ClientClosed", decode(t, err)["code"])
	_, err = bridge.Start(request(client, call(), "0", "list"))
	require.Equal(t, "ClientClosed", decode(t, err)["code"])
	_, err = bridge.Close(client)
	require.NoError(t, err, "twice")
}

func TestReadyTellsWhenAConnectionIsOpen(t *testing.T) {
	server := serve(t, fakes3.Options{N: 1})
	client := open(t, server.URL, "preconnect=1")
	id := call()
	text, err := bridge.Start(request(client, id, "1000", "ready", "timeout=5"))
	text, err = finish(t, id, text, err)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(text, "D1\x1e"))

	refused := open(t, "http://127.0.0.1:1", "preconnect=1")
	for range 2 {
		id = call()
		text, err = bridge.Start(request(refused, id, "1000", "ready", "timeout=5"))
		_, err = finish(t, id, text, err)
		require.Equal(t, "ConnectionRefused", decode(t, err)["code"])
	}
}

func TestRegionsCrossInTheirOrder(t *testing.T) {
	server := serve(t, fakes3.Options{N: 3})
	id := call()
	text, err := bridge.Start(request(open(t, server.URL), id, "1000", "regions", "name=bucket-00002", "name=none-such", "name=bucket-00000"))
	text, err = finish(t, id, text, err)
	require.NoError(t, err)
	text, _, _ = strings.Cut(text[1:], "\x1e")
	parts := strings.Split(text, "\x1f")
	require.Equal(t, "Reu-west-1", parts[0])
	require.Contains(t, parts[1], `E{"kind":"not_found"`)
	require.Equal(t, "Rus-east-1", parts[2])
}

func TestACallTellsWhatItDid(t *testing.T) {
	server := serve(t, fakes3.Options{N: 3, Quirks: fakes3.NeverTell})
	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.Status, Status: 500, Op: "list", Times: 1}))
	client := open(t, server.URL)
	id := call()
	text, err := bridge.Start(request(client, id, "1000", "list", "log=1"))
	text, err = finish(t, id, text, err)
	require.NoError(t, err)
	parts := strings.Split(text, "\x1e")
	counts := strings.Split(parts[3], "\x1f")
	require.Equal(t, []string{"5", "1"}, counts[:2], "two listings and three look-ups, of which one is a retry")
	require.NotEqual(t, "0", counts[2])
	require.NotEqual(t, "0", counts[3])
	require.Equal(t, "0", counts[4])
	require.NotEqual(t, "0", counts[5])
	for _, line := range []string{"answered 500", "retrying after: InternalError", "3 to look up", `region of "bucket-00001" is us-west-2, from HeadBucket`} {
		require.Contains(t, parts[4], line)
	}
	require.NotContains(t, text, "canary-secret")

	id = call()
	text, err = bridge.Start(request(client, id, "1000", "list"))
	text, err = finish(t, id, text, err)
	require.NoError(t, err)
	require.Empty(t, strings.Split(text, "\x1e")[4])
	total, err := bridge.Info(client)
	require.NoError(t, err)
	require.Equal(t, "6", strings.Split(total, "\x1f")[0])
	require.Equal(t, "3", strings.Split(total, "\x1f")[4], "remembered regions")

	require.NoError(t, server.Order(fakes3.Fault{Kind: fakes3.Deny}))
	id = call()
	text, err = bridge.Start(request(client, id, "1000", "list", "log=1"))
	_, err = finish(t, id, text, err)
	fields := decode(t, err)
	require.Equal(t, "1", strings.Split(fields["stats"].(string), "\x1f")[0])
	require.Len(t, fields["log"], 1)
}

func TestTheTraceHeaderGoesAlong(t *testing.T) {
	var seen atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("X-Amzn-Trace-Id"))
		fmt.Fprint(w, "<ListAllMyBucketsResult/>")
	}))
	defer server.Close()
	id := call()
	text, err := bridge.Start(request(open(t, server.URL), id, "1000", "list", "trace=Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"))
	_, err = finish(t, id, text, err)
	require.NoError(t, err)
	require.Equal(t, "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", seen.Load())
}

func TestALoopHearsOfAnswersThroughOneDescriptor(t *testing.T) {
	server := serve(t, fakes3.Options{N: 3})
	client := open(t, server.URL)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	notifier, err := bridge.Notify(request("open", fmt.Sprint(write.Fd())))
	require.NoError(t, err)
	require.NoError(t, write.Close(), "the notifier has a descriptor of its own")
	waiting := map[string]bool{}
	for range 200 {
		id := call()
		text, err := bridge.Start(request(client, id, "0", "list", "notify="+notifier))
		require.NoError(t, err)
		if text == "P" {
			waiting[id] = true
		}
	}
	for buffer := make([]byte, 64); len(waiting) > 0; {
		_, err := read.Read(buffer)
		require.NoError(t, err)
		ids, err := bridge.Notify(request("take", notifier))
		require.NoError(t, err)
		for id := range strings.SplitSeq(ids, "\x1f") {
			if !waiting[id] {
				continue
			}
			delete(waiting, id)
			text, err := bridge.Wait(request(id, "0"))
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(text, "D"))
		}
	}
	_, err = bridge.Notify(request("close", notifier))
	require.NoError(t, err)
	_, err = bridge.Start(request(client, call(), "0", "list", "notify="+notifier))
	require.Equal(t, "invalid", decode(t, err)["kind"])
	_, err = bridge.Notify(request("open", "99999"))
	require.Equal(t, "invalid", decode(t, err)["kind"])
}

func TestAnOperationAnswersAsOverHTTP(t *testing.T) {
	server := serve(t, fakes3.Options{N: 3})
	client := open(t, server.URL)
	run := func(verb string, fields ...string) map[string]any {
		id := call()
		text, err := bridge.Start(request(append([]string{client, id, "1000", verb}, fields...)...))
		text, err = finish(t, id, text, err)
		require.NoError(t, err)
		text, _, _ = strings.Cut(text[1:], "\x1e")
		answer := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(text), &answer))
		return answer
	}
	listed := run("ListBuckets", "MaxBuckets=2")
	require.EqualValues(t, 200, listed["status"])
	require.NotEmpty(t, listed["headers"].(map[string]any)["x-amz-request-id"])
	result := listed["result"].(map[string]any)
	require.Equal(t, []any{"bucket-00000", "2024-03-01T12:00:00+00:00", "us-east-1"}, result["buckets"].([]any)[0])
	require.NotEmpty(t, result["token"])
	require.Equal(t, "us-west-2", run("GetBucketLocation", "Bucket=bucket-00001")["result"])
	require.Equal(t, "eu-west-1", run("HeadBucket", "Bucket=bucket-00002")["result"].(map[string]any)["region"])
	refused := run("ListBuckets", "MaxBuckets=10001")
	require.EqualValues(t, 400, refused["status"])
	require.Contains(t, refused["body"], "<Code>InvalidArgument</Code>")
	require.Equal(t, "invalid", refused["kind"])
	missing := run("HeadBucket", "Bucket=none-such")
	require.EqualValues(t, 404, missing["status"])
	require.Equal(t, "not_found", missing["kind"])
}

func TestAnOperationFollowsARegionThatARefusalNames(t *testing.T) {
	for sentence, c := range map[string]struct {
		status    int
		body      string
		header    string
		operation string
		region    string // that signs the second request; empty: there is none
		retries   float64
	}{
		"a header and a redirect":        {301, "", "eu-west-1", "HeadBucket", "eu-west-1", 1},
		"a header and a HEAD's 400":      {400, "", "eu-west-1", "HeadBucket", "eu-west-1", 1},
		"a body that says malformed":     {400, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-1</Region></Error>", "", "GetBucketLocation", "eu-west-1", 1},
		"a region that is none":          {400, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>../x</Region></Error>", "", "GetBucketLocation", "", 0},
		"a refusal for another reason":   {403, "<Error><Code>AccessDenied</Code><Message>m</Message></Error>", "eu-west-1", "GetBucketLocation", "", 0},
		"a listing, which has no bucket": {400, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-1</Region></Error>", "", "ListBuckets", "", 0},
	} {
		t.Run(sentence, func(t *testing.T) {
			var scopes []string
			var mu sync.Mutex
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				scopes = append(scopes, r.Header.Get("Authorization"))
				again := len(scopes) > 1
				mu.Unlock()
				if again {
					_, _ = w.Write([]byte("<LocationConstraint>eu-west-1</LocationConstraint>"))
					return
				}
				if c.header != "" {
					w.Header().Set("X-Amz-Bucket-Region", c.header)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			client, id := open(t, server.URL), call()
			fields := []string{client, id, "1000", c.operation}
			if c.operation != "ListBuckets" {
				fields = append(fields, "Bucket=bucket", "ExpectedBucketOwner=111122223333")
			}
			text, err := bridge.Start(request(fields...))
			text, err = finish(t, id, text, err)
			require.NoError(t, err)
			text, _, _ = strings.Cut(text[1:], "\x1e")
			answer := map[string]any{}
			require.NoError(t, json.Unmarshal([]byte(text), &answer))
			require.Equal(t, c.retries, answer["retries"])
			if c.region == "" {
				require.Len(t, scopes, 1)
				require.EqualValues(t, c.status, answer["status"])
				return
			}
			require.Len(t, scopes, 2)
			require.Contains(t, scopes[1], "/"+c.region+"/s3/")
			require.EqualValues(t, 200, answer["status"])
		})
	}
}

func TestAClientTellsItsEndpointAndRegion(t *testing.T) {
	for want, options := range map[string][]string{
		request("https://s3.eu-west-1.amazonaws.com", "eu-west-1"): {"region=eu-west-1"},
		request("http://127.0.0.1:9", "us-east-1"):                 {"endpoint_url=http://127.0.0.1:9"},
	} {
		client, err := bridge.Open(request(append([]string{""}, options...)...))
		require.NoError(t, err)
		id := call()
		text, err := bridge.Start(request(client, id, "1000", "describe"))
		text, err = finish(t, id, text, err)
		require.NoError(t, err)
		text, _, _ = strings.Cut(text, "\x1e")
		require.Equal(t, "D"+want, text)
		_, err = bridge.Close(client)
		require.NoError(t, err)
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	server := serve(t, fakes3.Options{N: 1})
	client := open(t, server.URL)
	for sentence, do := range map[string]func() (string, error){
		"no fields":           func() (string, error) { return bridge.Start("") },
		"no number":           func() (string, error) { return bridge.Start(request("x", "1", "1", "list")) },
		"a negative number":   func() (string, error) { return bridge.Start(request(client, "-1", "1", "list")) },
		"a number too large":  func() (string, error) { return bridge.Wait(request("99999999999999999999", "1")) },
		"no slice":            func() (string, error) { return bridge.Wait("1") },
		"another's client":    func() (string, error) { return bridge.Start(request("123456", call(), "1", "list")) },
		"an unknown verb":     func() (string, error) { return bridge.Start(request(client, call(), "1", "explode")) },
		"an unknown option":   func() (string, error) { return bridge.Start(request(client, call(), "1", "list", "colour=red")) },
		"a limit of zero":     func() (string, error) { return bridge.Start(request(client, call(), "1", "list", "limit=0")) },
		"a time-out of NaN":   func() (string, error) { return bridge.Start(request(client, call(), "1", "list", "timeout=NaN")) },
		"an unknown setting":  func() (string, error) { return bridge.Open(request("", "colour=red")) },
		"a setting of no use": func() (string, error) { return bridge.Open(request("", "max_attempts=many")) },
		"no id to close":      func() (string, error) { return bridge.Close("") },
		"no id to cancel":     func() (string, error) { return bridge.Cancel("all") },
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := do()
			require.Equal(t, "invalid", decode(t, err)["kind"])
		})
	}
}

func TestIdsAreEachTheirOwn(t *testing.T) {
	server := serve(t, fakes3.Options{N: 5})
	var wait sync.WaitGroup
	var mu sync.Mutex
	for range 32 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			client, err := bridge.Open(request("", "endpoint_url="+server.URL, "$AWS_ACCESS_KEY_ID=A", "$AWS_SECRET_ACCESS_KEY=S"))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			id := call()
			mu.Unlock()
			if text, err := bridge.Start(request(client, id, "5000", "list")); err != nil || !strings.HasPrefix(text, "D") {
				t.Errorf("%q %v", text, err)
			}
			if _, err := bridge.Close(client); err != nil {
				t.Error(err)
			}
		}()
	}
	wait.Wait()
	info, err := bridge.Info("")
	require.NoError(t, err)
	require.Equal(t, []string{"0", "0"}, strings.Split(info, "\x1f")[2:4])
}

func FuzzRequests(f *testing.F) {
	f.Add(request("1", "2", "0", "list", "limit=3"))
	f.Add(request("", "timeout=1", "$A=b", "cache_ttl=0"))
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "credential") || strings.Contains(text, "preconnect") {
			return // no fuzzing of commands and connections
		}
		for _, do := range []func(string) (string, error){bridge.Start, bridge.Wait, bridge.Cancel, bridge.Close} {
			if _, err := do(text); err != nil {
				decode(t, err)
			}
		}
		if id, err := bridge.Open(text); err == nil {
			if _, err := bridge.Close(id); err != nil {
				t.Fatal(err)
			}
		} else if decode(t, err)["kind"] == "internal" {
			t.Fatal(err)
		}
	})
}
