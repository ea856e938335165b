package bridge_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/fakes3"
	"github.com/glowplug/glowplug/gomod/internal/bridge"
)

// diagnosis is the part of doctor's answer that is checked here; the rest is tests/test_doctor.py's.
type diagnosis struct {
	Region, Endpoint struct{ Value, Source string }
	Proxy            *struct{ Value, Source string }
	Trust            struct {
		Source       string
		Files        []string
		Certificates int
		Error        map[string]any
	}
	Credentials struct {
		Source string
		Error  map[string]any
	}
	Request struct {
		Operation   string
		DNS         *float64 `json:"dns_ms"`
		TCP         *float64 `json:"tcp_ms"`
		TLS         *float64 `json:"tls_ms"`
		FirstByte   *float64 `json:"first_byte_ms"`
		Total       *float64 `json:"total_ms"`
		Skew        *float64 `json:"clock_skew_s"`
		Status      int
		Certificate *struct{ TLS, Issuer, Expires string }
		Error       map[string]any
	}
}

func diagnose(t *testing.T, client string) (d diagnosis) {
	t.Helper()
	id := call()
	text, err := bridge.Start(request(client, id, "1000", "doctor", "timeout=5"))
	text, err = finish(t, id, text, err)
	require.NoError(t, err)
	text, _, _ = strings.Cut(text, "\x1e")
	require.NotContains(t, text, "canary-secret")
	require.NoError(t, json.Unmarshal([]byte(text[1:]), &d), text)
	return d
}

func TestDoctorTellsTheStepsOfOneRequest(t *testing.T) {
	server := serve(t, fakes3.Options{N: 3})
	d := diagnose(t, open(t, server.URL, "max_attempts=1", "$AWS_REGION=eu-west-1"))
	require.Equal(t, "eu-west-1", d.Region.Value)
	require.Equal(t, "AWS_REGION", d.Region.Source)
	require.Equal(t, server.URL, d.Endpoint.Value)
	require.Equal(t, "the environment (AWS_ACCESS_KEY_ID)", d.Credentials.Source)
	require.Nil(t, d.Proxy)
	r := d.Request
	require.Equal(t, "ListBuckets", r.Operation)
	require.Equal(t, 200, r.Status)
	require.Nil(t, r.Error)
	require.Nil(t, r.DNS, "an address is not looked up")
	require.Nil(t, r.TLS)
	require.Nil(t, r.Certificate)
	require.LessOrEqual(t, *r.TCP+*r.FirstByte, *r.Total)
	require.InDelta(t, 0, *r.Skew, 2)
}

func TestDoctorTellsOfTLS(t *testing.T) {
	for variant, code := range map[fakes3.TLS]string{fakes3.ValidTLS: "", fakes3.Expired: "CertificateExpired", fakes3.Untrusted: "CertificateNotTrusted"} {
		t.Run(string(variant), func(t *testing.T) {
			server := serve(t, fakes3.Options{N: 1, TLS: variant})
			ca := filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, os.WriteFile(ca, server.CA, 0o600))
			d := diagnose(t, open(t, server.URL, "max_attempts=1", "ca_bundle="+ca))
			require.Equal(t, []string{ca}, d.Trust.Files)
			require.Equal(t, 1, d.Trust.Certificates)
			require.Equal(t, "the argument ca_bundle", d.Trust.Source)
			require.NotNil(t, d.Request.Certificate, "of a refused one too")
			require.Contains(t, d.Request.Certificate.Issuer, "intermediate")
			if code == "" {
				require.Equal(t, "1.3", d.Request.Certificate.TLS)
				require.Positive(t, *d.Request.TLS)
				return
			}
			require.Equal(t, code, d.Request.Error["code"])
			require.Empty(t, d.Request.Certificate.TLS)
			require.Nil(t, d.Request.TLS)
		})
	}
}

func TestDoctorTriesTheConnectionWithoutCredentials(t *testing.T) {
	server := serve(t, fakes3.Options{N: 1})
	d := diagnose(t, open(t, server.URL, "$AWS_ACCESS_KEY_ID=", "$AWS_SECRET_ACCESS_KEY=", "$AWS_EC2_METADATA_DISABLED=true", "$HOME="+t.TempDir()))
	require.Equal(t, "NoCredentials", d.Credentials.Error["code"])
	require.Empty(t, d.Credentials.Source)
	require.Empty(t, d.Request.Operation)
	require.Positive(t, d.Request.Status)
	require.Positive(t, *d.Request.TCP)
}

func TestDoctorTellsWhereItEnded(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	url := "http://" + listener.Addr().String()
	silent := diagnose(t, open(t, url, "max_attempts=1", "attempt_timeout=0.1"))
	require.Equal(t, "AttemptTimeout", silent.Request.Error["code"])
	require.Positive(t, *silent.Request.TCP)
	require.Nil(t, silent.Request.FirstByte)
	require.Nil(t, silent.Request.Total)

	require.NoError(t, listener.Close())
	refused := diagnose(t, open(t, url, "max_attempts=1"))
	require.Equal(t, "ConnectionRefused", refused.Request.Error["code"])
	require.Nil(t, refused.Request.TCP)
}

func TestDoctorTellsTheProxyWithoutItsPassword(t *testing.T) {
	proxy := serve(t, fakes3.Options{N: 1})
	d := diagnose(t, open(t, "http://s3.test", "max_attempts=1", "$HTTP_PROXY="+strings.Replace(proxy.URL, "http://", "http://user:canary-secret@", 1)))
	require.Equal(t, proxy.URL, d.Proxy.Value)
	require.Equal(t, "HTTP_PROXY", d.Proxy.Source)
	require.Equal(t, 200, d.Request.Status, "%v", d.Request.Error)
}

func TestDoctorTellsOfAMissingTrustStore(t *testing.T) {
	server := serve(t, fakes3.Options{N: 1})
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	d := diagnose(t, open(t, server.URL, "ca_bundle="+empty))
	require.Equal(t, "NoCertificate", d.Trust.Error["code"])
	require.Equal(t, 200, d.Request.Status, "plain HTTP needs none")
}
