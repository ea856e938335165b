package bridge_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
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
	require.Len(t, parts, 3)
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
		if text == "D" {
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
			require.NotEqual(t, "D", text, sentence)
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
	require.Equal(t, "D1", text)

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
	parts := strings.Split(text[1:], "\x1f")
	require.Equal(t, "Reu-west-1", parts[0])
	require.Contains(t, parts[1], `E{"kind":"not_found"`)
	require.Equal(t, "Rus-east-1", parts[2])
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
