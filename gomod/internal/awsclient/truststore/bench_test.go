package truststore_test

import (
	"crypto/x509"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/internal/awsclient/truststore"
)

const debianBundle = "/etc/ssl/certs/ca-certificates.crt"

// BenchmarkOpen is what a cold start pays for its trust store.
func BenchmarkOpen(b *testing.B) {
	if _, err := os.Stat(debianBundle); err != nil {
		b.Skip(err)
	}
	b.Run("truststore.File", func(b *testing.B) {
		for b.Loop() {
			_, err := truststore.File(debianBundle)
			require.NoError(b, err)
		}
	})
	b.Run("x509.AppendCertsFromPEM", func(b *testing.B) {
		for b.Loop() {
			data, err := os.ReadFile(debianBundle)
			require.NoError(b, err)
			require.True(b, x509.NewCertPool().AppendCertsFromPEM(data))
		}
	})
}
