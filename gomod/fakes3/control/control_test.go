package control_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/glowplug/glowplug/gomod/fakes3"
	"github.com/glowplug/glowplug/gomod/fakes3/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func send(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=A/20130524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=0")
	h.ServeHTTP(w, r)
	return w
}

func TestOrders(t *testing.T) {
	for sentence, c := range map[string]struct {
		order  string
		status int
		answer string
		list   string
	}{
		"nothing":                     {`{}`, 200, `{"faults":[],"buckets":2}`, "bucket-00001"},
		"a fault":                     {`{"faults":[{"kind":"throttle","op":"list","times":3}]}`, 200, `{"faults":[{"kind":"throttle","op":"list","times":3,"burst":1}],"buckets":2}`, "SlowDown"},
		"a delay in words":            {`{"faults":[{"kind":"slow","delay":"2ms"}]}`, 200, `{"faults":[{"kind":"slow","burst":1,"delay":"2ms"}],"buckets":2}`, "bucket-00001"},
		"a delay in seconds":          {`{"faults":[{"kind":"slow","delay":0.002}],"delay":0.001}`, 200, `{"faults":[{"kind":"slow","burst":1,"delay":"2ms"}],"buckets":2}`, "bucket-00001"},
		"other buckets":               {`{"buckets":[{"name":"b","region":"eu-west-1","created":"2020-02-29T01:02:03Z"},{"name":"f","foreign":true}]}`, 200, `{"faults":[],"buckets":2}`, "<Name>b</Name><CreationDate>2020-02-29T01:02:03.000Z</CreationDate><BucketRegion>eu-west-1</BucketRegion></Bucket></Buckets>"},
		"more buckets":                {`{"n":8}`, 200, `{"faults":[],"buckets":8}`, "bucket-00007"},
		"quirks":                      {`{"quirks":"never-tell"}`, 200, `{"faults":[],"buckets":2}`, "</CreationDate></Bucket>"},
		"keys":                        {`{"keys":[{"id":"B","secret":"S"}]}`, 200, `{"faults":[],"buckets":2}`, "InvalidAccessKeyId"},
		"a region":                    {`{"region":"eu-west-1"}`, 200, `{"faults":[],"buckets":2}`, "AuthorizationHeaderMalformed"},
		"an unknown field":            {`{"fault":1}`, 400, `{"error":"json: unknown field \"fault\""}`, "bucket-00001"},
		"no JSON":                     {`{`, 400, `{"error":"unexpected EOF"}`, "bucket-00001"},
		"an unknown quirk, no change": {`{"n":8,"quirks":"x"}`, 400, "", "bucket-00001</Name><CreationDate>2024-03-01T12:00:00.000Z</CreationDate><BucketRegion>us-west-2</BucketRegion></Bucket></Buckets>"},
		"a bad fault, no change":      {`{"n":8,"faults":[{"kind":"x"}]}`, 400, "", "</BucketRegion></Bucket></Buckets>"},
		"one name twice, no change":   {`{"buckets":[{"name":"b"},{"name":"b"}],"clear":true}`, 400, `{"error":"fakes3: two buckets are named \"b\""}`, "bucket-00001"},
	} {
		t.Run(sentence, func(t *testing.T) {
			h, err := fakes3.New(fakes3.Options{N: 2})
			require.NoError(t, err)
			root := control.Handler(h)
			w := send(root, http.MethodPost, "/-/control", c.order)
			require.Equal(t, c.status, w.Code, w.Body)
			if c.answer != "" {
				require.JSONEq(t, c.answer, w.Body.String())
			}
			require.Contains(t, send(root, http.MethodGet, "/?max-buckets=100", "").Body.String(), c.list)
			require.Equal(t, 200, send(root, http.MethodDelete, "/-/control", "").Code)
			require.Empty(t, h.Faults())
		})
	}
}

func TestStatsAndReset(t *testing.T) {
	h, err := fakes3.New(fakes3.Options{N: 2})
	require.NoError(t, err)
	root := control.Handler(h)
	send(root, http.MethodGet, "/", "")
	send(root, http.MethodHead, "/bucket-00000", "")
	send(root, http.MethodGet, "/bucket-00000?location", "")
	require.JSONEq(t, `{"conns":0,"reqs":3,"lists":1,"locations":1,"heads":1,"refused":0,"faulted":0}`, send(root, http.MethodGet, "/-/stats", "").Body.String())
	send(root, http.MethodPost, "/-/control", `{"reset_stats":true}`)
	require.Zero(t, h.Stats())
	require.Equal(t, 400, send(root, http.MethodPut, "/-/control", "").Code)
}
