package awsclient_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// canary stands for every secret: no error may hold it.
const canary = "canary/SECRET+0123456789"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noCanary looks at an error as a careless caller would print it, and at every cause inside.
func noCanary(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		text, _ := json.Marshal(e)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", e, e, e, text), canary)
	}
}

// homeWith makes a home directory with the two files; an empty text makes no file.
func homeWith(t *testing.T, config, credentials string) string {
	t.Helper()
	home := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(home, ".aws"), 0o700))
	for name, text := range map[string]string{"config": config, "credentials": credentials} {
		if text != "" {
			require.NoError(t, os.WriteFile(filepath.Join(home, ".aws", name), []byte(text), 0o600))
		}
	}
	return home
}
