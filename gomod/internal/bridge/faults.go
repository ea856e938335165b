//go:build glowplug_faults

package bridge

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/glowplug/glowplug/gomod/buckets"
)

// faultMarker is what the audit looks for in a release.
const faultMarker = "glowplug-fault-hook"

// fault makes the client of a request with "fault=WHERE" panic there: open, credentials, list or lookup.
func fault(o *buckets.Options, request string) {
	_, where, found := strings.Cut(request, "fault=")
	if !found {
		return
	}
	where, _, _ = strings.Cut(where, unit)
	switch where {
	case "open":
		panic(faultMarker)
	case "credentials":
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { panic(faultMarker) })
	case "list", "lookup":
		o.HTTPClient = &faulty{lookups: where == "lookup"}
	}
}

// faulty panics in the goroutine that sends a listing or a look-up.
type faulty struct{ lookups bool }

func (f *faulty) Do(r *http.Request) (*http.Response, error) {
	if f.lookups == (r.Method == http.MethodHead) {
		panic(faultMarker)
	}
	return http.DefaultClient.Do(r)
}
