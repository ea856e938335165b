//go:build glowplug_faults

package bridge_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/fakes3"
	"github.com/glowplug/glowplug/gomod/internal/bridge"
)

func TestAPanicBecomesAnInternalError(t *testing.T) {
	server := serve(t, fakes3.Options{N: 5, Quirks: fakes3.NeverTell})
	_, err := bridge.Open(request("", "fault=open"))
	require.Equal(t, "internal", decode(t, err)["kind"])
	for _, where := range []string{"credentials", "list", "lookup"} {
		client := open(t, server.URL, "fault="+where)
		for range 2 {
			id := call()
			text, err := bridge.Start(request(client, id, "1000", "list"))
			_, err = finish(t, id, text, err)
			fields := decode(t, err)
			require.Equal(t, "internal", fields["kind"], where)
			require.Contains(t, fields["message"], "faults.go", "the Go stack is in it")
		}
	}
}
