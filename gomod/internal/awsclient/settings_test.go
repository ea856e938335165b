package awsclient_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient"
)

func TestDefaults(t *testing.T) {
	cfg := resolve(t, awsclient.Settings{}, nil)
	require.Equal(t, "us-east-1", cfg.Region)
	require.Empty(t, cfg.EndpointURL)
	require.Equal(t, "default", cfg.Profile)
	require.Equal(t, "auto", cfg.AddressingStyle)
	require.False(t, cfg.UseFIPS)
	require.False(t, cfg.UseDualStack)
	require.Equal(t, 10*time.Second, cfg.Timeout)
	require.Equal(t, time.Second, cfg.ConnectTimeout)
	require.Equal(t, 2*time.Second, cfg.AttemptTimeout)
	require.Equal(t, 3, cfg.MaxAttempts)
	require.Equal(t, 32, cfg.MaxConcurrency)
	require.Same(t, cfg.Transport, cfg.HTTPClient)
}

func TestPrecedence(t *testing.T) {
	home := homeWith(t, `[default]
region = eu-profile-1
endpoint_url = http://profile
max_attempts = 7
use_fips_endpoint = false
use_dualstack_endpoint = FALSE
s3 =
  addressing_style = path
[profile services]
services = mine
endpoint_url = http://global-of-profile
[services mine]
s3 =
  endpoint_url = http://s3-of-profile
[profile other-service]
services = theirs
endpoint_url = http://global-of-profile
[services theirs]
sts =
  endpoint_url = http://sts
[profile plain]
use_fips_endpoint = true
use_dualstack_endpoint = true
[profile ignoring]
endpoint_url = http://profile
ignore_configured_endpoint_urls = true
`, "")
	region := func(c *awsclient.Config) any { return c.Region }
	endpoint := func(c *awsclient.Config) any { return c.EndpointURL }
	profile := func(c *awsclient.Config) any { return c.Profile }
	attempts := func(c *awsclient.Config) any { return c.MaxAttempts }
	fips := func(c *awsclient.Config) any { return c.UseFIPS }
	dual := func(c *awsclient.Config) any { return c.UseDualStack }
	style := func(c *awsclient.Config) any { return c.AddressingStyle }
	type env = map[string]string

	for sentence, c := range map[string]struct {
		settings awsclient.Settings
		env      env
		of       func(*awsclient.Config) any
		want     any
	}{
		"region: argument":                        {awsclient.Settings{Region: "eu-argument-1"}, env{"AWS_REGION": "eu-env-1"}, region, "eu-argument-1"},
		"region: AWS_REGION":                      {awsclient.Settings{}, env{"AWS_REGION": "eu-env-1", "AWS_DEFAULT_REGION": "eu-env-2"}, region, "eu-env-1"},
		"region: AWS_DEFAULT_REGION":              {awsclient.Settings{}, env{"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-env-2"}, region, "eu-env-2"},
		"region: profile":                         {awsclient.Settings{}, nil, region, "eu-profile-1"},
		"region: built in":                        {awsclient.Settings{Profile: "plain"}, nil, region, "us-east-1"},
		"endpoint: argument":                      {awsclient.Settings{EndpointURL: "http://argument"}, env{"AWS_ENDPOINT_URL_S3": "http://s3"}, endpoint, "http://argument"},
		"endpoint: of the service":                {awsclient.Settings{}, env{"AWS_ENDPOINT_URL_S3": "http://s3", "AWS_ENDPOINT_URL": "http://all"}, endpoint, "http://s3"},
		"endpoint: of all services":               {awsclient.Settings{}, env{"AWS_ENDPOINT_URL_STS": "http://sts", "AWS_ENDPOINT_URL": "http://all"}, endpoint, "http://all"},
		"endpoint: the profile's services":        {awsclient.Settings{Profile: "services"}, nil, endpoint, "http://s3-of-profile"},
		"endpoint: the profile for all services":  {awsclient.Settings{Profile: "other-service"}, nil, endpoint, "http://global-of-profile"},
		"endpoint: profile":                       {awsclient.Settings{}, nil, endpoint, "http://profile"},
		"endpoint: ignored by the environment":    {awsclient.Settings{}, env{"AWS_ENDPOINT_URL": "http://all", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, endpoint, ""},
		"endpoint: ignored by the profile":        {awsclient.Settings{Profile: "ignoring"}, nil, endpoint, ""},
		"endpoint: the argument is not ignored":   {awsclient.Settings{EndpointURL: "http://argument"}, env{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, endpoint, "http://argument"},
		"endpoint: the environment may say false": {awsclient.Settings{Profile: "ignoring"}, env{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"}, endpoint, "http://profile"},
		"endpoint: a path is kept":                {awsclient.Settings{EndpointURL: "https://[::1]:9000/s3/"}, nil, endpoint, "https://[::1]:9000/s3/"},
		"profile: argument":                       {awsclient.Settings{Profile: "plain"}, env{"AWS_PROFILE": "services"}, profile, "plain"},
		"profile: AWS_PROFILE":                    {awsclient.Settings{}, env{"AWS_PROFILE": "plain", "AWS_DEFAULT_PROFILE": "services"}, profile, "plain"},
		"profile: AWS_DEFAULT_PROFILE":            {awsclient.Settings{}, env{"AWS_DEFAULT_PROFILE": "plain"}, profile, "plain"},
		"attempts: argument":                      {awsclient.Settings{MaxAttempts: 1}, env{"AWS_MAX_ATTEMPTS": "2"}, attempts, 1},
		"attempts: environment":                   {awsclient.Settings{}, env{"AWS_MAX_ATTEMPTS": "2"}, attempts, 2},
		"attempts: profile":                       {awsclient.Settings{}, nil, attempts, 7},
		"FIPS: argument":                          {awsclient.Settings{Profile: "plain", UseFIPS: aws.Bool(false)}, env{"AWS_USE_FIPS_ENDPOINT": "true"}, fips, false},
		"FIPS: environment":                       {awsclient.Settings{Profile: "plain"}, env{"AWS_USE_FIPS_ENDPOINT": "False"}, fips, false},
		"FIPS: profile":                           {awsclient.Settings{Profile: "plain"}, nil, fips, true},
		"dual-stack: argument":                    {awsclient.Settings{Profile: "plain", UseDualStack: aws.Bool(false)}, nil, dual, false},
		"dual-stack: environment":                 {awsclient.Settings{Profile: "plain"}, env{"AWS_USE_DUALSTACK_ENDPOINT": "false"}, dual, false},
		"dual-stack: profile":                     {awsclient.Settings{Profile: "plain"}, nil, dual, true},
		"addressing style: argument":              {awsclient.Settings{AddressingStyle: "virtual"}, nil, style, "virtual"},
		"addressing style: profile":               {awsclient.Settings{}, nil, style, "path"},
		"addressing style: built in":              {awsclient.Settings{Profile: "plain"}, nil, style, "auto"},
	} {
		t.Run(sentence, func(t *testing.T) {
			e := env{"HOME": home}
			for name, value := range c.env {
				e[name] = value
			}
			require.Equal(t, c.want, c.of(resolve(t, c.settings, e)))
		})
	}
}

func TestOriginsSayWhoDecided(t *testing.T) {
	home := homeWith(t, "[default]\nregion = eu-profile-1\nendpoint_url = http://profile\n", "")
	bundle := filepath.Join(home, "ca.pem")
	require.NoError(t, os.WriteFile(bundle, nil, 0o600))
	for name, c := range map[string]struct {
		s    awsclient.Settings
		env  map[string]string
		want awsclient.Origins
	}{
		"nothing is set":          {awsclient.Settings{}, nil, awsclient.Origins{Region: "the built-in region", Trust: "the system's"}},
		"a profile":               {awsclient.Settings{}, map[string]string{"HOME": home}, awsclient.Origins{Region: `region of profile "default"`, Trust: "the system's", Endpoint: `endpoint_url of profile "default"`}},
		"variables":               {awsclient.Settings{}, map[string]string{"HOME": home, "AWS_DEFAULT_REGION": "eu-west-2", "AWS_ENDPOINT_URL_S3": "http://x", "AWS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle}, awsclient.Origins{Region: "AWS_DEFAULT_REGION", Trust: "AWS_CA_BUNDLE", Endpoint: "AWS_ENDPOINT_URL_S3"}},
		"arguments":               {awsclient.Settings{Region: "eu-west-1", EndpointURL: "http://a", CABundle: bundle}, map[string]string{"AWS_REGION": "eu-west-2"}, awsclient.Origins{Region: "the argument region", Trust: "the argument ca_bundle", Endpoint: "the argument endpoint_url"}},
		"another place of system": {awsclient.Settings{}, map[string]string{"SSL_CERT_FILE": bundle}, awsclient.Origins{Region: "the built-in region", Trust: "SSL_CERT_FILE"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, resolve(t, c.s, c.env).Origins)
		})
	}
}

func TestTheProxyIsToldWithoutItsPassword(t *testing.T) {
	cfg := resolve(t, awsclient.Settings{}, map[string]string{"https_proxy": "http://user:" + "pw" + "@proxy.test:3128", "NO_PROXY": "here.test"})
	for target, want := range map[string]string{"https://s3.test": "http://proxy.test:3128", "http://s3.test": "", "https://here.test": ""} {
		u, err := url.Parse(target)
		require.NoError(t, err)
		via, source := cfg.Proxy(u)
		if want == "" {
			require.Nil(t, via, target)
			continue
		}
		require.Equal(t, want, via.String())
		require.Equal(t, "https_proxy", source)
	}
	via, _ := resolve(t, awsclient.Settings{}, nil).Proxy(&url.URL{Scheme: "https", Host: "s3.test"})
	require.Nil(t, via)
}

func TestInvalidSettings(t *testing.T) {
	type env = map[string]string
	file := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(file, []byte("[default]\n[profile region]\nregion = EU\n[profile style]\ns3 =\n  addressing_style = odd\n"+
		"[profile attempts]\nmax_attempts = many\n[profile services]\nservices = none\n[profile bundle]\nca_bundle = /nowhere/roots.pem\n[profile fips]\nuse_fips_endpoint = ja\n"), 0o600))
	for sentence, c := range map[string]struct {
		settings awsclient.Settings
		env      env
		want     string
	}{
		"region of an argument":               {awsclient.Settings{Region: "EU West"}, nil, "the argument region"},
		"region of the environment":           {awsclient.Settings{}, env{"AWS_REGION": "eu/west"}, "AWS_REGION"},
		"region of the other variable":        {awsclient.Settings{}, env{"AWS_DEFAULT_REGION": strings.Repeat("a", 64)}, "AWS_DEFAULT_REGION"},
		"region of a profile":                 {awsclient.Settings{Profile: "region"}, nil, `region of profile "region"`},
		"region with a line break at its end": {awsclient.Settings{Region: "eu-west-1\n"}, nil, "the argument region"},
		"endpoint without a scheme":           {awsclient.Settings{EndpointURL: "localhost:9000"}, nil, "the argument endpoint_url"},
		"endpoint of another scheme":          {awsclient.Settings{EndpointURL: "ftp://localhost"}, nil, "the argument endpoint_url"},
		"endpoint without a host":             {awsclient.Settings{EndpointURL: "http://:9000"}, nil, "the argument endpoint_url"},
		"endpoint with a password":            {awsclient.Settings{EndpointURL: "http://me:" + url.QueryEscape(canary) + "@localhost"}, nil, "user name"},
		"endpoint with a query":               {awsclient.Settings{EndpointURL: "http://localhost/?a=" + canary}, nil, "query"},
		"endpoint with an empty query":        {awsclient.Settings{EndpointURL: "http://localhost/?"}, nil, "query"},
		"endpoint with a fragment":            {awsclient.Settings{EndpointURL: "http://localhost/#" + canary}, nil, "fragment"},
		"endpoint with an impossible port":    {awsclient.Settings{EndpointURL: "http://localhost:70000"}, nil, "port"},
		"endpoint with a control character":   {awsclient.Settings{EndpointURL: "http://local\x00host"}, nil, "the argument endpoint_url"},
		"endpoint of the environment":         {awsclient.Settings{}, env{"AWS_ENDPOINT_URL_S3": canary}, "AWS_ENDPOINT_URL_S3"},
		"endpoint of a missing section":       {awsclient.Settings{Profile: "services"}, nil, "[services none]"},
		"endpoint switch":                     {awsclient.Settings{}, env{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "1"}, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"},
		"FIPS with an endpoint":               {awsclient.Settings{EndpointURL: "http://h", UseFIPS: aws.Bool(true)}, nil, "use_fips"},
		"dual-stack with an endpoint":         {awsclient.Settings{EndpointURL: "http://h"}, env{"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "AWS_USE_DUALSTACK_ENDPOINT"},
		"FIPS of the environment":             {awsclient.Settings{}, env{"AWS_USE_FIPS_ENDPOINT": "yes"}, "AWS_USE_FIPS_ENDPOINT"},
		"FIPS of a profile":                   {awsclient.Settings{Profile: "fips"}, nil, "use_fips_endpoint of profile"},
		"dual-stack of the environment":       {awsclient.Settings{}, env{"AWS_USE_DUALSTACK_ENDPOINT": "0"}, "AWS_USE_DUALSTACK_ENDPOINT"},
		"profile of an argument":              {awsclient.Settings{Profile: "nobody"}, nil, "the argument profile"},
		"profile of the environment":          {awsclient.Settings{}, env{"AWS_PROFILE": "nobody"}, file},
		"profile without any file":            {awsclient.Settings{Profile: "x"}, env{"AWS_CONFIG_FILE": ""}, "HOME is not set"},
		"addressing style of an argument":     {awsclient.Settings{AddressingStyle: "Path"}, nil, "addressing_style"},
		"addressing style of a profile":       {awsclient.Settings{Profile: "style"}, nil, "s3 addressing_style of profile"},
		"a negative time-out":                 {awsclient.Settings{Timeout: -1}, nil, "timeout"},
		"a negative connect time-out":         {awsclient.Settings{ConnectTimeout: -1}, nil, "connect_timeout"},
		"a negative attempt time-out":         {awsclient.Settings{AttemptTimeout: -1}, nil, "attempt_timeout"},
		"negative attempts":                   {awsclient.Settings{MaxAttempts: -1}, nil, "the argument max_attempts"},
		"too many attempts":                   {awsclient.Settings{MaxAttempts: 101}, nil, "100"},
		"attempts of the environment":         {awsclient.Settings{}, env{"AWS_MAX_ATTEMPTS": "0"}, "AWS_MAX_ATTEMPTS"},
		"attempts that overflow":              {awsclient.Settings{}, env{"AWS_MAX_ATTEMPTS": strings.Repeat("9", 40)}, "AWS_MAX_ATTEMPTS"},
		"attempts of a profile":               {awsclient.Settings{Profile: "attempts"}, nil, "max_attempts of profile"},
		"negative concurrency":                {awsclient.Settings{MaxConcurrency: -1}, nil, "max_concurrency"},
		"too much concurrency":                {awsclient.Settings{MaxConcurrency: 1025}, nil, "1024"},
		"a CA bundle that is not there":       {awsclient.Settings{CABundle: "/nowhere/roots.pem"}, nil, "the argument ca_bundle"},
		"a CA bundle of the environment":      {awsclient.Settings{}, env{"AWS_CA_BUNDLE": "/"}, "AWS_CA_BUNDLE"},
		"a CA bundle of a profile":            {awsclient.Settings{Profile: "bundle"}, nil, "ca_bundle of profile"},
		"a proxy that is no URL":              {awsclient.Settings{}, env{"HTTPS_PROXY": "http://me:" + canary + "@"}, "HTTPS_PROXY"},
		"a proxy of another scheme":           {awsclient.Settings{}, env{"http_proxy": "ftp://" + canary}, "http_proxy"},
		"a key without its secret":            {awsclient.Settings{AccessKeyID: "AKID"}, nil, "secret_access_key"},
		"a secret without its key":            {awsclient.Settings{SecretAccessKey: canary}, nil, "access_key_id"},
		"a token alone":                       {awsclient.Settings{SessionToken: canary}, nil, "session_token"},
		"a secret with a line break":          {awsclient.Settings{AccessKeyID: "AKID", SecretAccessKey: canary + "\n"}, nil, "secret_access_key"},
		"a key with a blank":                  {awsclient.Settings{AccessKeyID: "AK ID", SecretAccessKey: canary}, nil, "access_key_id"},
	} {
		t.Run(sentence, func(t *testing.T) {
			e := env{"AWS_CONFIG_FILE": file}
			for name, value := range c.env {
				e[name] = value
			}
			cfg, err := awsclient.Resolve("s3", c.settings, e)
			require.Nil(t, cfg)
			got := typed(t, err)
			require.Equal(t, awserr.Invalid, got.Kind)
			require.Contains(t, got.Message, c.want)
		})
	}
}

func TestProxies(t *testing.T) {
	proxy := newServer(t, func(w http.ResponseWriter, _ asked) { w.WriteHeader(http.StatusTeapot) })
	direct := newServer(t, func(w http.ResponseWriter, _ asked) {})
	get := func(t *testing.T, env map[string]string, address string) (*http.Response, error) {
		cfg := resolve(t, awsclient.Settings{}, env)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		require.NoError(t, err)
		resp, err := cfg.HTTPClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return resp, err
	}
	type env = map[string]string
	for sentence, c := range map[string]struct {
		env     env
		address string
		want    int
	}{
		"HTTP_PROXY applies":                    {env{"HTTP_PROXY": proxy.URL}, "http://s3.example.com/", http.StatusTeapot},
		"http_proxy applies":                    {env{"http_proxy": proxy.URL}, "http://s3.example.com/", http.StatusTeapot},
		"the lower-case name wins":              {env{"http_proxy": proxy.URL, "HTTP_PROXY": "http://127.0.0.1:1"}, "http://s3.example.com/", http.StatusTeapot},
		"a proxy needs no scheme":               {env{"HTTP_PROXY": strings.TrimPrefix(proxy.URL, "http://")}, "http://s3.example.com/", http.StatusTeapot},
		"a loopback address is asked directly":  {env{"HTTP_PROXY": proxy.URL}, direct.URL, http.StatusOK},
		"under CGI the lower-case name applies": {env{"http_proxy": proxy.URL, "REQUEST_METHOD": "GET"}, "http://s3.example.com/", http.StatusTeapot},
	} {
		t.Run(sentence, func(t *testing.T) {
			resp, err := get(t, c.env, c.address)
			require.NoError(t, err)
			require.Equal(t, c.want, resp.StatusCode)
		})
	}
	t.Run("NO_PROXY names hosts that are asked directly", func(t *testing.T) {
		before := len(proxy.requests())
		_, err := get(t, env{"HTTP_PROXY": proxy.URL, "NO_PROXY": ".invalid"}, "http://s3.invalid/")
		require.Error(t, err)
		require.Len(t, proxy.requests(), before)
	})
	t.Run("under CGI HTTP_PROXY is refused, for a client may have set it", func(t *testing.T) {
		before := len(proxy.requests())
		_, err := get(t, env{"HTTP_PROXY": proxy.URL, "REQUEST_METHOD": "GET"}, "http://s3.example.com/")
		require.Error(t, err)
		require.Len(t, proxy.requests(), before)
	})
	t.Run("https goes through HTTPS_PROXY", func(t *testing.T) {
		_, err := get(t, env{"HTTPS_PROXY": proxy.URL}, "https://s3.example.com/")
		require.Error(t, err)
		all := proxy.requests()
		require.Equal(t, http.MethodConnect, all[len(all)-1].method)
	})
	t.Run("addresses that hand out credentials are asked directly", func(t *testing.T) {
		before := len(proxy.requests())
		_, _ = get(t, env{"HTTP_PROXY": proxy.URL}, "http://169.254.170.2/")
		require.Len(t, proxy.requests(), before)
	})
}

func TestCABundle(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	home := homeWith(t, "", "")
	bundle := filepath.Join(home, "roots.pem")
	require.NoError(t, os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	profile := filepath.Join(home, ".aws", "config")
	require.NoError(t, os.WriteFile(profile, []byte("[profile mine]\nca_bundle = ~/roots.pem\n"), 0o600))
	for sentence, c := range map[string]struct {
		settings awsclient.Settings
		env      map[string]string
		trusted  bool
	}{
		"none: the server is not trusted": {awsclient.Settings{}, nil, false},
		"an argument":                     {awsclient.Settings{CABundle: bundle}, map[string]string{"AWS_CA_BUNDLE": "/nowhere"}, true},
		"AWS_CA_BUNDLE":                   {awsclient.Settings{}, map[string]string{"AWS_CA_BUNDLE": bundle}, true},
		"a profile, under ~":              {awsclient.Settings{Profile: "mine"}, map[string]string{"HOME": home}, true},
	} {
		t.Run(sentence, func(t *testing.T) {
			cfg := resolve(t, c.settings, c.env)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
			require.NoError(t, err)
			resp, err := cfg.HTTPClient.Do(req)
			require.Equal(t, c.trusted, err == nil, "%v", err)
			if err == nil {
				resp.Body.Close()
			}
		})
	}
}

func TestTheSeamReplacesTheTransport(t *testing.T) {
	client := doer(func(*http.Request) (*http.Response, error) { return answer("{}"), nil })
	cfg := resolve(t, awsclient.Settings{HTTPClient: client, CABundle: "/nowhere"}, map[string]string{"HTTPS_PROXY": "::"})
	require.Nil(t, cfg.Transport)
	require.NotNil(t, cfg.HTTPClient)
}

func TestResolveInALambdaIsCheap(t *testing.T) {
	env := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "t",
		"AWS_LAMBDA_FUNCTION_NAME": "f", "HOME": "/nowhere"}
	require.Less(t, testing.AllocsPerRun(100, func() {
		cfg, err := awsclient.Resolve("s3", awsclient.Settings{}, env)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Close()
	}), 100.0)
}

func BenchmarkResolveInALambda(b *testing.B) {
	env := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "t",
		"AWS_LAMBDA_FUNCTION_NAME": "f", "HOME": "/nowhere"}
	b.ReportAllocs()
	for b.Loop() {
		cfg, err := awsclient.Resolve("s3", awsclient.Settings{}, env)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := cfg.Credentials.Retrieve(b.Context()); err != nil {
			b.Fatal(err)
		}
		cfg.Close()
	}
}
