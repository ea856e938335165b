package awsclient_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/transport"
)

func TestOfflineRefusesEveryServerOfCredentials(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("jwt"), 0o600))
	sso := homeWith(t, "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Reader\nregion = eu-west-1\n[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n", "")
	cache := filepath.Join(sso, ".aws", "sso", "cache")
	require.NoError(t, os.MkdirAll(cache, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(cache, ssoFile["corp"]), []byte(`{"accessToken":"`+canary+`","expiresAt":"`+in(time.Hour)+`"}`), 0o600))

	for sentence, c := range map[string]struct {
		env  map[string]string
		addr string
	}{
		"instance metadata":               {map[string]string{}, "169.254.169.254:80"},
		"instance metadata over IPv6":     {map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}, "[fd00:ec2::254]:80"},
		"instance metadata at an address": {map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://192.0.2.1:8080"}, "192.0.2.1:8080"},
		"the container endpoint":          {map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x"}, "169.254.170.2:80"},
		"a container endpoint by https":   {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://credentials.example.com/x"}, "credentials.example.com:443"},
		"STS for web identity":            {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/a"}, "sts.us-east-1.amazonaws.com:443"},
		"STS for a role": {map[string]string{"HOME": homeWith(t, "[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = default\naws_access_key_id = AKID\naws_secret_access_key = "+canary+"\nregion = eu-west-1\n", "")},
			"sts.eu-west-1.amazonaws.com:443"},
		"the portal of SSO": {map[string]string{"HOME": sso}, "portal.sso.eu-west-1.amazonaws.com:443"},
	} {
		t.Run(sentence, func(t *testing.T) {
			c.env["GLOWPLUG_OFFLINE"] = "1"
			start := time.Now()
			_, err := retrieve(t, awsclient.Settings{}, c.env)
			e := typed(t, err)
			require.Equal(t, awserr.Connection, e.Kind, "%v", e)
			require.Equal(t, transport.CodeOffline, e.Code)
			require.Contains(t, e.Message, c.addr+" is none")
			require.Contains(t, e.Message, "glowplug_s3")
			require.False(t, e.Retryable)
			require.Less(t, time.Since(start), time.Second)
		})
	}
}

func TestOfflineUsesServersOfThisMachine(t *testing.T) {
	s := newIMDS(t)
	creds, err := retrieve(t, awsclient.Settings{}, map[string]string{"GLOWPLUG_OFFLINE": "1", "AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL})
	require.NoError(t, err)
	require.Equal(t, "AKID-of-instance", creds.AccessKeyID)
}

func TestOfflineIsABoolean(t *testing.T) {
	for value, on := range map[string]bool{"": false, "0": false, "false": false, "False": false, "1": true, "true": true, "TRUE": true, " 1 ": true} {
		t.Run("is "+value, func(t *testing.T) {
			cfg := resolve(t, awsclient.Settings{}, map[string]string{"GLOWPLUG_OFFLINE": value})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://no-such-host.invalid", nil)
			require.NoError(t, err)
			_, err = cfg.HTTPClient.Do(req)
			e, ok := transport.Classify(err)
			require.True(t, ok)
			require.Equal(t, on, e.Code == transport.CodeOffline, "%v", e)
		})
	}
	for _, value := range []string{"yes", "2", "off"} {
		_, err := awsclient.Resolve("s3", awsclient.Settings{}, map[string]string{"GLOWPLUG_OFFLINE": value})
		e := typed(t, err)
		require.Equal(t, awserr.Invalid, e.Kind)
		require.Contains(t, e.Message, "GLOWPLUG_OFFLINE must be 1, 0, true or false")
	}
}
