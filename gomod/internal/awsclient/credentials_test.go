package awsclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient"
)

// noEC2 keeps tests off an address that a machine may answer on.
func noEC2(env map[string]string) map[string]string {
	out := map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}
	maps.Copy(out, env)
	return out
}

func resolve(t *testing.T, s awsclient.Settings, env map[string]string) *awsclient.Config {
	t.Helper()
	cfg, err := awsclient.Resolve("s3", s, env)
	require.NoError(t, err)
	t.Cleanup(cfg.Close)
	return cfg
}

func retrieve(t *testing.T, s awsclient.Settings, env map[string]string) (aws.Credentials, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return resolve(t, s, env).Credentials.Retrieve(ctx)
}

func typed(t *testing.T, err error) *awserr.Error {
	t.Helper()
	var e *awserr.Error
	require.True(t, errors.As(err, &e), "%v", err)
	noCanary(t, err)
	return e
}

func TestWhichSourceIsUsed(t *testing.T) {
	container := newServer(t, func(w http.ResponseWriter, _ asked) { keys(w, "AKID-of-container", in(time.Hour)) })
	sts, imds := newSTS(t), newIMDS(t)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("jwt\n"), 0o600))
	home := homeWith(t, "[profile region-only]\nregion = eu-west-1\n[profile other]\naws_access_key_id = AKID-of-other\naws_secret_access_key = x\n",
		"[default]\naws_access_key_id = AKID-of-default\naws_secret_access_key = x\n")
	none := homeWith(t, "", "")

	all := map[string]string{
		"AWS_ACCESS_KEY_ID": "AKID-of-environment", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "t",
		"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/web", "AWS_ENDPOINT_URL_STS": sts.URL,
		"HOME": home, "AWS_CONTAINER_CREDENTIALS_FULL_URI": container.URL,
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.URL,
	}
	without := func(names ...string) map[string]string {
		env := maps.Clone(all)
		for _, n := range names {
			delete(env, n)
		}
		return env
	}
	with := func(env map[string]string, name, value string) map[string]string {
		env[name] = value
		return env
	}
	const noKeys, noWeb, noContainer = "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"

	for sentence, c := range map[string]struct {
		settings     awsclient.Settings
		env          map[string]string
		want, source string
	}{
		"arguments go first":                                {awsclient.Settings{AccessKeyID: "AKID-of-argument", SecretAccessKey: "x"}, all, "AKID-of-argument", "arguments"},
		"arguments go before a named profile":               {awsclient.Settings{AccessKeyID: "AKID-of-argument", SecretAccessKey: "x", Profile: "other"}, all, "AKID-of-argument", "arguments"},
		"a profile by argument goes before the environment": {awsclient.Settings{Profile: "other"}, all, "AKID-of-other", `profile "other": keys`},
		"a profile by AWS_PROFILE does not":                 {awsclient.Settings{}, with(without(), "AWS_PROFILE", "other"), "AKID-of-environment", "the environment (AWS_ACCESS_KEY_ID)"},
		"a named profile without keys leaves the container": {awsclient.Settings{Profile: "region-only"}, all, "AKID-of-container", "the container endpoint (AWS_CONTAINER_CREDENTIALS_FULL_URI)"},
		"the environment goes first of what is around":      {awsclient.Settings{}, all, "AKID-of-environment", "the environment (AWS_ACCESS_KEY_ID)"},
		"then web identity":                                 {awsclient.Settings{}, without(noKeys), "AKID-of-web", "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)"},
		"then the profile, as in boto3":                     {awsclient.Settings{}, without(noKeys, noWeb), "AKID-of-default", `profile "default": keys`},
		"a profile that AWS_PROFILE names too":              {awsclient.Settings{}, with(without(noKeys, noWeb), "AWS_PROFILE", "other"), "AKID-of-other", `profile "other": keys`},
		"then the container endpoint":                       {awsclient.Settings{}, with(without(noKeys, noWeb), "HOME", none), "AKID-of-container", "the container endpoint (AWS_CONTAINER_CREDENTIALS_FULL_URI)"},
		"and last EC2":                                      {awsclient.Settings{}, with(without(noKeys, noWeb, noContainer), "HOME", none), "AKID-of-instance", "EC2 metadata"},
	} {
		t.Run(sentence, func(t *testing.T) {
			cfg := resolve(t, c.settings, c.env)
			source, err := cfg.CredentialSource()
			require.NoError(t, err)
			require.Equal(t, c.source, source)
			creds, err := cfg.Credentials.Retrieve(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.want, creds.AccessKeyID)
		})
	}
}

func TestNoCredentials(t *testing.T) {
	for sentence, c := range map[string]struct {
		settings awsclient.Settings
		env      map[string]string
		want     []string
	}{
		"says where it looked and what to set": {awsclient.Settings{}, map[string]string{"HOME": "/nowhere"},
			[]string{"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/.aws/config", "/nowhere/.aws/credentials", "container", "switched off"}},
		"says that there is no home": {awsclient.Settings{}, nil, []string{"HOME is not set"}},
		"knows half of a pair":       {awsclient.Settings{}, map[string]string{"AWS_SECRET_ACCESS_KEY": canary}, []string{"AWS_ACCESS_KEY_ID is not: set both"}},
		"knows a Lambda":             {awsclient.Settings{}, map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f"}, []string{"a Lambda has none"}},
		"knows a Lambda by its runtime": {awsclient.Settings{}, map[string]string{"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"},
			[]string{"a Lambda has none"}},
		"knows keys that the argument rules out": {awsclient.Settings{Profile: "p"},
			map[string]string{"AWS_CONFIG_FILE": "testdata/empty-profile", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": canary}, []string{"leave that argument away"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := retrieve(t, c.settings, noEC2(c.env))
			e := typed(t, err)
			require.Equal(t, awserr.Credentials, e.Kind)
			require.Equal(t, "NoCredentials", e.Code)
			for _, want := range c.want {
				require.Contains(t, e.Message, want)
			}
		})
	}
}

func TestSourcesThatAreFoundAndBroken(t *testing.T) {
	sts := newSTS(t)
	imds := newServer(t, func(w http.ResponseWriter, r asked) {
		if strings.HasSuffix(r.path, "/security-credentials/") {
			fmt.Fprint(w, "my-role")
			return
		}
		fmt.Fprintf(w, `{"Code":"Failed","Message":%q}`, canary)
	})
	talkative := newServer(t, func(w http.ResponseWriter, r asked) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, canary, r.header.Get("Authorization"))
	})
	noJSON := newServer(t, func(w http.ResponseWriter, _ asked) { fmt.Fprint(w, `{"AccessKeyId":"`+canary) })
	oddTime := newServer(t, func(w http.ResponseWriter, _ asked) { fmt.Fprintf(w, `{"Expiration":%q}`, canary) })
	half := newServer(t, func(w http.ResponseWriter, _ asked) { fmt.Fprintf(w, `{"AccessKeyId":"AKID","Token":%q}`, canary) })
	over := newServer(t, func(w http.ResponseWriter, _ asked) { keys(w, "AKID", in(-time.Hour)) })
	huge := newServer(t, func(w http.ResponseWriter, _ asked) { fmt.Fprint(w, strings.Repeat(canary, 1<<16)) })
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(token, []byte(canary), 0o600))
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	profile := func(text string) map[string]string {
		return map[string]string{"HOME": homeWith(t, text, ""), "AWS_ENDPOINT_URL_STS": sts.URL, "AWS_MAX_ATTEMPTS": "1", "PATH": os.Getenv("PATH")}
	}
	full := func(address string) map[string]string {
		return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": address, "AWS_CONTAINER_AUTHORIZATION_TOKEN": canary, "AWS_MAX_ATTEMPTS": "1"}
	}
	web := func(file, role string) map[string]string {
		return map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": file, "AWS_ROLE_ARN": role, "AWS_ENDPOINT_URL_STS": sts.URL}
	}
	source := "[profile keys]\naws_access_key_id = AKID\naws_secret_access_key = " + canary + "\naws_session_token = " + canary + "\n"
	var deep strings.Builder
	for i := range 12 {
		fmt.Fprintf(&deep, "[profile p%d]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = p%d\n", i, i+1)
	}

	for sentence, c := range map[string]struct {
		env        map[string]string
		code, want string
	}{
		"a key without its secret":              {map[string]string{"AWS_ACCESS_KEY_ID": "AKID"}, "PartialCredentials", "AWS_SECRET_ACCESS_KEY"},
		"a secret with a line break":            {map[string]string{"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": canary + "\n"}, "MalformedCredentials", "AWS_SECRET_ACCESS_KEY"},
		"environment keys that have ended":      {map[string]string{"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": canary, "AWS_CREDENTIAL_EXPIRATION": in(-time.Hour)}, "ExpiredCredentials", "renew"},
		"web identity without a role":           {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token}, "WebIdentityError", "AWS_ROLE_ARN"},
		"web identity without its file":         {web("/nowhere/token", "r"), "WebIdentityError", "/nowhere/token"},
		"web identity with an empty file":       {web(empty, "r"), "WebIdentityError", empty},
		"web identity that STS refuses":         {web(token, "arn:aws:iam::1:role/refused"), "WebIdentityError", "AccessDenied: not allowed: [hidden]"},
		"a container endpoint in clear":         {full("http://example.com/" + canary), "ContainerCredentialsError", "https"},
		"a container endpoint of another kind":  {full("ftp://localhost/" + canary), "ContainerCredentialsError", "https"},
		"a relative one that names a host":      {map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "@example.com/"}, "ContainerCredentialsError", "slash"},
		"a container endpoint that refuses":     {full(talkative.URL), "ContainerCredentialsError", "HTTP status 403"},
		"one that answers no JSON":              {full(noJSON.URL), "ContainerCredentialsError", "gave no credentials"},
		"one that answers an odd time":          {full(oddTime.URL), "ContainerCredentialsError", "gave no credentials"},
		"one that answers half a pair":          {full(half.URL), "IncompleteCredentials", "without a secret key"},
		"one whose credentials have ended":      {full(over.URL), "ExpiredCredentials", "clock"},
		"one that answers without end":          {full(huge.URL), "ContainerCredentialsError", "larger than its limit"},
		"one that is not there":                 {full("http://127.0.0.1:1/" + canary), "ContainerCredentialsError", "refused"},
		"one whose token holds a line break":    {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": over.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN": canary + "\n"}, "ContainerCredentialsError", "line break"},
		"one whose token file is not there":     {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": over.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nowhere"}, "ContainerCredentialsError", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"},
		"a profile with half a pair":            {profile("[default]\naws_access_key_id = AKID\n"), "PartialCredentials", "aws_secret_access_key"},
		"a profile with a broken secret":        {profile("[default]\naws_access_key_id = AKID\naws_secret_access_key = a b" + canary), "MalformedCredentials", "aws_secret_access_key"},
		"a role without a source":               {profile("[default]\nrole_arn = r\n"), "InvalidProfile", "source_profile or credential_source"},
		"a role with two sources":               {profile("[default]\nrole_arn = r\nsource_profile = a\ncredential_source = Environment\n"), "InvalidProfile", "remove one"},
		"a role whose source is missing":        {profile("[default]\nrole_arn = r\nsource_profile = a\n"), "InvalidProfile", `"a"`},
		"a role whose source has nothing":       {profile("[default]\nrole_arn = r\nsource_profile = a\n[profile a]\nregion = x\n"), "InvalidProfile", "has no credentials"},
		"a role of an unknown ambient source":   {profile("[default]\nrole_arn = r\ncredential_source = Moon\n"), "InvalidProfile", "Ec2InstanceMetadata"},
		"a role of an absent ambient source":    {profile("[default]\nrole_arn = r\ncredential_source = Environment\n"), "InvalidProfile", "no such credentials"},
		"a role that needs a code":              {profile("[default]\nrole_arn = r\nsource_profile = keys\nmfa_serial = m\n" + source), "MFARequired", "mfa_serial"},
		"a role of odd duration":                {profile("[default]\nrole_arn = r\nsource_profile = keys\nduration_seconds = 5\n" + source), "InvalidProfile", "900"},
		"roles in a circle":                     {profile("[default]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = s\nsource_profile = default\n"), "InvalidProfile", "leads back"},
		"a role whose source is itself":         {profile("[default]\nrole_arn = r\nsource_profile = default\n"), "InvalidProfile", "leads back"},
		"roles too deep":                        {profile("[default]\nrole_arn = r\nsource_profile = p0\n" + deep.String()), "InvalidProfile", "shorten"},
		"a role that STS refuses":               {profile("[default]\nrole_arn = arn:aws:iam::1:role/refused\nsource_profile = keys\n" + source), "AssumeRoleError", "AccessDenied: not allowed: [hidden]"},
		"a role whose source process fails":     {profile("[default]\nrole_arn = r\nsource_profile = p\n[profile p]\ncredential_process = exit 3\n"), "CredentialProcessError", "exit status 3"},
		"profile web identity without a role":   {profile("[default]\nweb_identity_token_file = " + token), "InvalidProfile", "role_arn"},
		"SSO without a session section":         {profile("[default]\nsso_account_id = 1\nsso_role_name = r\nsso_session = s\n"), "InvalidProfile", "[sso-session s]"},
		"SSO without a role":                    {profile("[default]\nsso_account_id = 1\n"), "InvalidProfile", "sso_role_name"},
		"SSO with an odd region":                {profile("[default]\nsso_account_id = 1\nsso_role_name = r\nsso_start_url = u\nsso_region = a/b\n"), "InvalidProfile", "sso_region"},
		"SSO without a login":                   {profile("[default]\nsso_account_id = 1\nsso_role_name = r\nsso_start_url = u\nsso_region = eu-west-1\n"), "SSOTokenExpired", "aws sso login --profile default"},
		"a login session":                       {profile("[default]\nlogin_session = arn\n"), "UnsupportedSource", "export-credentials"},
		"a process that fails":                  {profile("[default]\ncredential_process = echo " + canary + "; echo " + canary + " >&2; exit 3\n"), "CredentialProcessError", "exit status 3"},
		"a process that is not there":           {profile("[default]\ncredential_process = /nowhere/program " + canary + "\n"), "CredentialProcessError", "exit status 127"},
		"a process that prints no JSON":         {profile("[default]\ncredential_process = echo " + canary + "\n"), "CredentialProcessError", "by hand"},
		"a process that prints a wrong version": {profile("[default]\ncredential_process = echo '{\"Version\":2,\"SecretAccessKey\":\"" + canary + "\"}'\n"), "CredentialProcessError", "by hand"},
		"a process that prints without end":     {profile("[default]\ncredential_process = while :; do echo " + strings.Repeat("x", 4096) + "; done\n"), "CredentialProcessError", "gave no credentials"},
		"EC2 metadata that fails":               {map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.URL}, "EC2MetadataError", "Failed"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := retrieve(t, awsclient.Settings{}, noEC2(c.env))
			e := typed(t, err)
			require.Equal(t, awserr.Credentials, e.Kind, "%v", e)
			require.Equal(t, c.code, e.Code, "%v", e)
			require.Contains(t, e.Message, c.want)
		})
	}
}

func TestSettingsOfSourcesThatAreInvalid(t *testing.T) {
	for sentence, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"an end that is no time":                {map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CREDENTIAL_EXPIRATION": "soon"}, "AWS_CREDENTIAL_EXPIRATION"},
		"a switch that is no boolean":           {map[string]string{"AWS_EC2_METADATA_DISABLED": "maybe"}, "AWS_EC2_METADATA_DISABLED"},
		"another":                               {map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_V1_DISABLED": "maybe"}, "AWS_EC2_METADATA_V1_DISABLED"},
		"an unknown mode":                       {map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "ipv5"}, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"},
		"an endpoint of EC2 that is no URL":     {map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "here"}, "AWS_EC2_METADATA_SERVICE_ENDPOINT"},
		"an endpoint of STS that is no URL":     {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "t", "AWS_ROLE_ARN": "r", "AWS_ENDPOINT_URL_STS": "here"}, "AWS_ENDPOINT_URL_STS"},
		"an endpoint of STS together with FIPS": {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "t", "AWS_ROLE_ARN": "r", "AWS_ENDPOINT_URL_STS": "http://h", "AWS_USE_FIPS_ENDPOINT": "true"}, "AWS_ENDPOINT_URL_STS"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := retrieve(t, awsclient.Settings{}, noEC2(c.env))
			e := typed(t, err)
			require.Equal(t, awserr.Invalid, e.Kind)
			require.Contains(t, e.Message, c.want)
		})
	}
}

func TestContainerEndpoint(t *testing.T) {
	closeIdle(t)
	s := newServer(t, func(w http.ResponseWriter, _ asked) { keys(w, "AKID", in(time.Hour)) })
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("from-file\n"), 0o600))
	for sentence, c := range map[string]struct {
		env                       map[string]string
		host, path, authorization string
	}{
		"a relative address is on the host of ECS":  {map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/creds?id=1"}, "169.254.170.2", "/v2/creds", ""},
		"a relative address goes before a full one": {map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/a", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/b"}, "169.254.170.2", "/a", ""},
		"a full address may be the host of EKS":     {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Basic x"}, "169.254.170.23", "/v1/credentials", "Basic x"},
		"or its IPv6 host":                          {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[fd00:ec2::23]/v1"}, "[fd00:ec2::23]", "/v1", ""},
		"or anything by https":                      {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://creds.example.com/v1"}, "creds.example.com", "/v1", ""},
		"a token file goes before a token":          {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/v1", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file}, "127.0.0.1:9", "/v1", "from-file"},
	} {
		t.Run(sentence, func(t *testing.T) {
			creds, err := retrieve(t, awsclient.Settings{HTTPClient: to{s.URL}}, c.env)
			require.NoError(t, err)
			require.Equal(t, "AKID", creds.AccessKeyID)
			all := s.requests()
			last := all[len(all)-1]
			require.Equal(t, c.host, last.header.Get("X-Was-For"))
			require.Equal(t, c.path, last.path)
			require.Equal(t, c.authorization, last.header.Get("Authorization"))
		})
	}
}

func TestRoles(t *testing.T) {
	sts, imds := newSTS(t), newIMDS(t)
	container := newServer(t, func(w http.ResponseWriter, _ asked) { keys(w, "AKID-of-container", in(time.Hour)) })
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("jwt\n"), 0o600))
	base := "[profile keys]\naws_access_key_id = AKID-of-keys\naws_secret_access_key = x\n"
	for sentence, c := range map[string]struct {
		config string
		want   string
		by     []string // whose keys signed each request
		form   map[string]string
	}{
		"of a profile with keys": {"[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = keys\nexternal_id = ext\nrole_session_name = me\nduration_seconds = 900\n" + base,
			"AKID-of-a", []string{"AKID-of-keys"}, map[string]string{"ExternalId": "ext", "RoleSessionName": "me", "DurationSeconds": "900"}},
		"an hour long by itself": {"[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = keys\n" + base,
			"AKID-of-a", []string{"AKID-of-keys"}, map[string]string{"DurationSeconds": "3600"}},
		"of itself with keys": {"[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = default\naws_access_key_id = AKID-of-self\naws_secret_access_key = x\n",
			"AKID-of-a", []string{"AKID-of-self"}, nil},
		"of a role": {"[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = b\n[profile b]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = keys\n" + base,
			"AKID-of-a", []string{"AKID-of-keys", "AKID-of-b"}, nil},
		"of the environment": {"[default]\nrole_arn = arn:aws:iam::1:role/a\ncredential_source = Environment\n",
			"AKID-of-a", []string{"AKID-of-environment"}, nil},
		"of the container": {"[default]\nrole_arn = arn:aws:iam::1:role/a\ncredential_source = EcsContainer\n",
			"AKID-of-a", []string{"AKID-of-container"}, nil},
		"of the instance": {"[default]\nrole_arn = arn:aws:iam::1:role/a\ncredential_source = Ec2InstanceMetadata\n",
			"AKID-of-a", []string{"AKID-of-instance"}, nil},
		"of a web identity": {"[default]\nrole_arn = arn:aws:iam::1:role/a\nweb_identity_token_file = " + token + "\nrole_session_name = me\n",
			"AKID-of-a", []string{""}, map[string]string{"WebIdentityToken": "jwt", "RoleSessionName": "me"}},
		"of a process": {"[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = p\n[profile p]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"AKID-of-process\",\"SecretAccessKey\":\"x\"}'\n",
			"AKID-of-a", []string{"AKID-of-process"}, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			before := len(sts.requests())
			creds, err := retrieve(t, awsclient.Settings{Profile: "default"}, map[string]string{
				"HOME": homeWith(t, c.config, ""), "AWS_ENDPOINT_URL_STS": sts.URL, "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.URL,
				"AWS_CONTAINER_CREDENTIALS_FULL_URI": container.URL, "AWS_ACCESS_KEY_ID": "AKID-of-environment", "AWS_SECRET_ACCESS_KEY": "x",
			})
			require.NoError(t, err)
			require.Equal(t, c.want, creds.AccessKeyID)
			require.True(t, creds.CanExpire)
			all := sts.requests()[before:]
			require.Len(t, all, len(c.by))
			for i, who := range c.by {
				if who == "" {
					require.Empty(t, all[i].header.Get("Authorization"))
				} else {
					require.Contains(t, all[i].header.Get("Authorization"), "Credential="+who+"/")
				}
			}
			for name, value := range c.form {
				require.Equal(t, value, all[len(all)-1].form.Get(name))
			}
		})
	}
}

// ssoFile has the names that the AWS command line gives token files: the SHA-1 of the session's name or of the start URL.
var ssoFile = map[string]string{
	"corp":                           "ee0bfd2552fbd840c02cc48b6e823320543c450f.json",
	"https://corp.awsapps.com/start": "a51746d4aa793ae07b25e90c3a5db96fc7832bd7.json",
}

func TestSSO(t *testing.T) {
	const start = "https://corp.awsapps.com/start"
	portal := newServer(t, func(w http.ResponseWriter, r asked) {
		w.Header().Set("Content-Type", "application/json")
		switch r.header.Get("X-Amz-Sso_bearer_token") {
		case "fresh", "renewed":
			fmt.Fprintf(w, `{"roleCredentials":{"accessKeyId":"AKID-of-sso","secretAccessKey":%q,"sessionToken":"t","expiration":%d}}`, canary, time.Now().Add(time.Hour).UnixMilli())
		case "denied":
			w.Header().Set("X-Amzn-Errortype", "ForbiddenException")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"message":%q}`, canary)
		default:
			w.Header().Set("X-Amzn-Errortype", "UnauthorizedException")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"message":%q}`, canary)
		}
	})
	oidc := newServer(t, func(w http.ResponseWriter, r asked) {
		w.Header().Set("Content-Type", "application/json")
		var in map[string]string
		_ = json.Unmarshal([]byte(r.body), &in)
		if in["refreshToken"] != "refresh" {
			w.Header().Set("X-Amzn-Errortype", "InvalidGrantException")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":"invalid_grant","error_description":%q}`, canary)
			return
		}
		fmt.Fprint(w, `{"accessToken":"renewed","expiresIn":3600,"refreshToken":"refresh-2"}`)
	})
	session := "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Reader\n[sso-session corp]\nsso_start_url = " + start + "\nsso_region = eu-west-1\n"
	legacy := "[default]\nsso_start_url = " + start + "\nsso_region = eu-west-1\nsso_account_id = 123456789012\nsso_role_name = Reader\n"
	for sentence, c := range map[string]struct {
		config, key, token, code string
	}{
		"a fresh token of a session":          {session, "corp", `{"accessToken":"fresh","expiresAt":"` + in(time.Hour) + `"}`, ""},
		"a fresh token of the legacy form":    {legacy, start, `{"accessToken":"fresh","expiresAt":"` + in(time.Hour) + `"}`, ""},
		"an ended token that can be renewed":  {session, "corp", `{"accessToken":"old","expiresAt":"` + in(-time.Hour) + `","refreshToken":"refresh","clientId":"c","clientSecret":"` + canary + `"}`, ""},
		"an ended token of the legacy form":   {legacy, start, `{"accessToken":"` + canary + `","expiresAt":"` + in(-time.Hour) + `"}`, "SSOTokenExpired"},
		"an ended token without a refresh":    {session, "corp", `{"accessToken":"` + canary + `","expiresAt":"` + in(-time.Hour) + `"}`, "SSOTokenExpired"},
		"a refresh that is refused":           {session, "corp", `{"accessToken":"old","expiresAt":"` + in(-time.Hour) + `","refreshToken":"` + canary + `","clientId":"c","clientSecret":"x"}`, "SSOTokenExpired"},
		"a token that the portal has revoked": {session, "corp", `{"accessToken":"` + canary + `","expiresAt":"` + in(time.Hour) + `"}`, "SSOTokenExpired"},
		"a role that the user does not have":  {session, "corp", `{"accessToken":"denied","expiresAt":"` + in(time.Hour) + `"}`, "SSOError"},
		"a token file that is broken":         {session, "corp", `{"accessToken":"` + canary, "SSOTokenExpired"},
		"a token file with an odd time":       {session, "corp", `{"accessToken":"x","expiresAt":"` + canary + `"}`, "SSOTokenExpired"},
	} {
		t.Run(sentence, func(t *testing.T) {
			home := homeWith(t, c.config, "")
			cache := filepath.Join(home, ".aws", "sso", "cache")
			require.NoError(t, os.MkdirAll(cache, 0o700))
			file := filepath.Join(cache, ssoFile[c.key])
			require.NoError(t, os.WriteFile(file, []byte(c.token), 0o600))
			creds, err := retrieve(t, awsclient.Settings{}, noEC2(map[string]string{
				"HOME": home, "AWS_ENDPOINT_URL_SSO": portal.URL, "AWS_ENDPOINT_URL_SSO_OIDC": oidc.URL,
			}))
			if c.code != "" {
				e := typed(t, err)
				require.Equal(t, awserr.Credentials, e.Kind)
				require.Equal(t, c.code, e.Code, "%v", e)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "AKID-of-sso", creds.AccessKeyID)
			all := portal.requests()
			require.Equal(t, "account_id=123456789012&role_name=Reader", all[len(all)-1].query)
			if strings.Contains(c.token, "refreshToken") {
				kept, err := os.ReadFile(file)
				require.NoError(t, err)
				require.Contains(t, string(kept), `"refresh-2"`)
			}
		})
	}
	t.Run("a portal that is not there", func(t *testing.T) {
		home := homeWith(t, session, "")
		cache := filepath.Join(home, ".aws", "sso", "cache")
		require.NoError(t, os.MkdirAll(cache, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(cache, ssoFile["corp"]), []byte(`{"accessToken":"`+canary+`","expiresAt":"`+in(time.Hour)+`"}`), 0o600))
		_, err := retrieve(t, awsclient.Settings{MaxAttempts: 1}, noEC2(map[string]string{"HOME": home, "AWS_ENDPOINT_URL_SSO": "http://127.0.0.1:1"}))
		e := typed(t, err)
		require.Equal(t, "SSOError", e.Code)
		require.True(t, e.Retryable)
	})
}

func TestProcessHasTheGivenEnvironmentAndNoOther(t *testing.T) {
	t.Setenv("GLOWPLUG_OUTSIDE", "seen")
	out := filepath.Join(t.TempDir(), "environment")
	home := homeWith(t, "[default]\ncredential_process = echo \"$GLOWPLUG_INSIDE,$GLOWPLUG_OUTSIDE\" > '"+out+
		"'; echo '{\"Version\":1,\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"x\",\"SessionToken\":\"t\",\"Expiration\":\"2099-01-01T00:00:00Z\"}'\n", "")
	creds, err := retrieve(t, awsclient.Settings{}, noEC2(map[string]string{"HOME": home, "GLOWPLUG_INSIDE": "given"}))
	require.NoError(t, err)
	require.Equal(t, "t", creds.SessionToken)
	require.True(t, creds.CanExpire)
	seen, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, "given,\n", string(seen))
}

func TestProcessEndsWithItsCaller(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	// A child that holds the output open must not outlive its parent.
	home := homeWith(t, "[default]\ncredential_process = sleep 300 & echo $! > '"+pid+"'; wait\n", "")
	cfg := resolve(t, awsclient.Settings{}, noEC2(map[string]string{"HOME": home, "PATH": os.Getenv("PATH")}))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := cfg.Credentials.Retrieve(ctx)
	e := typed(t, err)
	require.Equal(t, awserr.Timeout, e.Kind)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(start), 2*time.Second)
	text, err := os.ReadFile(pid)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !alive(strings.TrimSpace(string(text))) }, 5*time.Second, 20*time.Millisecond)
}

// alive looks for a process that has not ended; one that waits for its parent to take note has.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestEC2(t *testing.T) {
	closeIdle(t)
	t.Run("asks with a token", func(t *testing.T) {
		s := newIMDS(t)
		creds, err := retrieve(t, awsclient.Settings{}, map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL})
		require.NoError(t, err)
		require.Equal(t, "AKID-of-instance", creds.AccessKeyID)
		require.Len(t, s.requests(), 3)
	})
	t.Run("asks without one where only version 1 is", func(t *testing.T) {
		s := newServer(t, func(w http.ResponseWriter, r asked) {
			switch {
			case r.method == http.MethodPut:
				w.WriteHeader(http.StatusNotFound)
			case strings.HasSuffix(r.path, "/"):
				fmt.Fprint(w, "role")
			default:
				fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":"AKID","SecretAccessKey":"x","Token":"t","Expiration":%q}`, in(time.Hour))
			}
		})
		creds, err := retrieve(t, awsclient.Settings{}, map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL})
		require.NoError(t, err)
		require.Equal(t, "AKID", creds.AccessKeyID)
		_, err = retrieve(t, awsclient.Settings{}, map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL, "AWS_EC2_METADATA_V1_DISABLED": "true"})
		require.Equal(t, awserr.Credentials, typed(t, err).Kind)
	})
	t.Run("goes to the address of its mode", func(t *testing.T) {
		s := newIMDS(t)
		for mode, host := range map[string]string{"": "169.254.169.254", "IPv4": "169.254.169.254", "ipv6": "[fd00:ec2::254]"} {
			_, err := retrieve(t, awsclient.Settings{HTTPClient: to{s.URL}}, map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": mode})
			require.NoError(t, err)
			all := s.requests()
			require.Equal(t, host, all[len(all)-1].header.Get("X-Was-For"))
		}
	})
	t.Run("an instance without a role has no credentials", func(t *testing.T) {
		s := newServer(t, func(w http.ResponseWriter, _ asked) { w.WriteHeader(http.StatusNotFound) })
		_, err := retrieve(t, awsclient.Settings{}, map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL})
		e := typed(t, err)
		require.Equal(t, "NoCredentials", e.Code)
		require.Contains(t, e.Message, "no role")
	})
	t.Run("an address that is silent costs a second", func(t *testing.T) {
		release := make(chan struct{})
		s := newServer(t, func(http.ResponseWriter, asked) { <-release })
		defer close(release)
		start := time.Now()
		_, err := retrieve(t, awsclient.Settings{}, map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL})
		require.Equal(t, "NoCredentials", typed(t, err).Code)
		require.Less(t, time.Since(start), 1700*time.Millisecond)
	})
	t.Run("credentials that have ended stay in use there", func(t *testing.T) {
		s := newServer(t, func(w http.ResponseWriter, r asked) {
			if strings.HasSuffix(r.path, "/") {
				fmt.Fprint(w, "role")
				return
			}
			fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":"AKID","SecretAccessKey":"x","Token":"t","Expiration":%q}`, in(-time.Minute))
		})
		creds, err := retrieve(t, awsclient.Settings{}, map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL})
		require.NoError(t, err)
		require.False(t, creds.Expired())
	})
}

func TestManyCallersShareOneRetrieval(t *testing.T) {
	var n atomic.Int32
	life := 2 * time.Second
	s := newServer(t, func(w http.ResponseWriter, _ asked) {
		time.Sleep(50 * time.Millisecond)
		keys(w, "AKID-"+strconv.Itoa(int(n.Add(1))), time.Now().Add(life).UTC().Format(time.RFC3339Nano))
	})
	cfg := resolve(t, awsclient.Settings{}, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": s.URL})
	all := func() map[string]bool {
		var mu sync.Mutex
		var wg sync.WaitGroup
		seen := map[string]bool{}
		for range 64 {
			wg.Go(func() {
				creds, err := cfg.Credentials.Retrieve(t.Context())
				mu.Lock()
				defer mu.Unlock()
				seen[creds.AccessKeyID] = err == nil
			})
		}
		wg.Wait()
		return seen
	}
	require.Equal(t, map[string]bool{"AKID-1": true}, all())
	require.EqualValues(t, 1, n.Load())
	require.Equal(t, map[string]bool{"AKID-1": true}, all())
	// Renewed before the end, at half of so short a life.
	time.Sleep(life/2 + 100*time.Millisecond)
	require.Equal(t, map[string]bool{"AKID-2": true}, all())
	require.EqualValues(t, 2, n.Load())
}

func TestAFailedRenewalKeepsWhatHasNotEnded(t *testing.T) {
	var n atomic.Int32
	s := newServer(t, func(w http.ResponseWriter, _ asked) {
		if n.Add(1) > 1 {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		keys(w, "AKID", time.Now().Add(2*time.Second).UTC().Format(time.RFC3339Nano))
	})
	cfg := resolve(t, awsclient.Settings{}, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": s.URL})
	_, err := cfg.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	time.Sleep(1200 * time.Millisecond)
	creds, err := cfg.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	require.Equal(t, "AKID", creds.AccessKeyID)
	require.EqualValues(t, 2, n.Load())
	time.Sleep(time.Second)
	_, err = cfg.Credentials.Retrieve(t.Context())
	require.Equal(t, "ContainerCredentialsError", typed(t, err).Code)
}

func TestACallerThatLeavesDoesNotHarmTheOthers(t *testing.T) {
	release := make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, _ asked) {
		<-release
		keys(w, "AKID", "")
	})
	cfg := resolve(t, awsclient.Settings{AttemptTimeout: 5 * time.Second}, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": s.URL})
	done := make(chan error, 1)
	go func() {
		_, err := cfg.Credentials.Retrieve(t.Context())
		done <- err
	}()
	require.Eventually(t, func() bool { return len(s.requests()) == 1 }, 5*time.Second, 5*time.Millisecond)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := cfg.Credentials.Retrieve(ctx)
	require.Equal(t, awserr.Timeout, typed(t, err).Kind)

	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = cfg.Credentials.Retrieve(ctx)
	require.Equal(t, awserr.Cancelled, typed(t, err).Kind)

	close(release)
	require.NoError(t, <-done)
	require.Len(t, s.requests(), 1)
}

func TestARetrievalEndsWithItsLastCaller(t *testing.T) {
	var n atomic.Int32
	gone := make(chan struct{}, 8)
	client := doer(func(r *http.Request) (*http.Response, error) {
		if n.Add(1) == 1 {
			<-r.Context().Done()
			gone <- struct{}{}
			return nil, r.Context().Err()
		}
		return answer(`{"AccessKeyId":"AKID","SecretAccessKey":"x"}`), nil
	})
	cfg := resolve(t, awsclient.Settings{HTTPClient: client, AttemptTimeout: time.Minute, MaxAttempts: 1}, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := cfg.Credentials.Retrieve(ctx)
	require.Equal(t, awserr.Timeout, typed(t, err).Kind)
	// A caller who comes while the abandoned retrieval is still ending gets credentials, not its end.
	creds, err := cfg.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	require.Equal(t, "AKID", creds.AccessKeyID)
	<-gone
}

func TestAPanicBecomesAnError(t *testing.T) {
	client := doer(func(*http.Request) (*http.Response, error) { panic(canary) })
	_, err := retrieve(t, awsclient.Settings{HTTPClient: client}, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/"})
	e := typed(t, err)
	require.Equal(t, awserr.Internal, e.Kind)
	require.ErrorContains(t, errors.Unwrap(e), "sources.go")
}

func TestKeysAtHandAskNobody(t *testing.T) {
	for sentence, c := range map[string]struct {
		settings awsclient.Settings
		env      map[string]string
	}{
		"arguments":   {awsclient.Settings{AccessKeyID: "AKID", SecretAccessKey: "x"}, nil},
		"environment": {awsclient.Settings{}, map[string]string{"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "t"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			cfg := resolve(t, c.settings, c.env)
			_, err := cfg.Credentials.Retrieve(t.Context())
			require.NoError(t, err)
			require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = cfg.Credentials.Retrieve(context.Background()) }))
		})
	}
}

func TestEnvironmentCredentialsMayEnd(t *testing.T) {
	cfg := resolve(t, awsclient.Settings{}, map[string]string{"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "x",
		"AWS_CREDENTIAL_EXPIRATION": time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)})
	_, err := cfg.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	time.Sleep(1100 * time.Millisecond)
	_, err = cfg.Credentials.Retrieve(t.Context())
	require.Equal(t, "ExpiredCredentials", typed(t, err).Code)
}

// Inside Python the process's environment is that of exec time: what it says must never count, not even to the SDK.
func TestTheEnvironmentOfTheProcessIsNotRead(t *testing.T) {
	trap := newServer(t, func(w http.ResponseWriter, _ asked) { w.WriteHeader(http.StatusTeapot) })
	trapHome := homeWith(t, "[default]\nregion = eu-trap-1\naws_access_key_id = AKID-of-trap\naws_secret_access_key = x\n", "")
	for name, value := range map[string]string{
		"HOME": trapHome, "AWS_CONFIG_FILE": filepath.Join(trapHome, ".aws", "config"), "AWS_PROFILE": "trap", "AWS_REGION": "eu-trap-1",
		"AWS_ACCESS_KEY_ID": "AKID-of-trap", "AWS_SECRET_ACCESS_KEY": "x", "AWS_MAX_ATTEMPTS": "99", "AWS_CA_BUNDLE": "/trap",
		"AWS_ENDPOINT_URL": trap.URL, "AWS_ENDPOINT_URL_STS": trap.URL, "AWS_ENDPOINT_URL_S3": trap.URL, "HTTP_PROXY": trap.URL, "HTTPS_PROXY": trap.URL,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": trap.URL, "AWS_WEB_IDENTITY_TOKEN_FILE": "/trap", "AWS_ROLE_ARN": "trap",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_EC2_METADATA_SERVICE_ENDPOINT": trap.URL, "AWS_LAMBDA_FUNCTION_NAME": "trap",
	} {
		t.Setenv(name, value)
	}
	var hosts []string
	client := doer(func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, r.URL.Host)
		return nil, errors.New("nobody is there")
	})
	cfg := resolve(t, awsclient.Settings{HTTPClient: client}, nil)
	require.Equal(t, "us-east-1", cfg.Region)
	require.Equal(t, "default", cfg.Profile)
	require.Equal(t, 3, cfg.MaxAttempts)
	require.Empty(t, cfg.EndpointURL)
	_, err := cfg.Credentials.Retrieve(t.Context())
	require.Equal(t, "NoCredentials", typed(t, err).Code)
	require.Equal(t, []string{"169.254.169.254", "169.254.169.254"}, hosts)

	hosts = nil
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("jwt"), 0o600))
	cfg = resolve(t, awsclient.Settings{HTTPClient: client, Region: "eu-west-1", MaxAttempts: 1}, map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/a"})
	_, err = cfg.Credentials.Retrieve(t.Context())
	require.Equal(t, "WebIdentityError", typed(t, err).Code)
	require.Equal(t, []string{"sts.eu-west-1.amazonaws.com"}, hosts)
	require.Empty(t, trap.requests())
}

func TestFIPSAndDualStackReachSTS(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("jwt"), 0o600))
	var host string
	client := doer(func(r *http.Request) (*http.Response, error) {
		host = r.URL.Host
		return nil, errors.New("nobody is there")
	})
	_, err := retrieve(t, awsclient.Settings{HTTPClient: client, Region: "us-west-2", UseFIPS: aws.Bool(true), MaxAttempts: 1},
		map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/a"})
	require.Error(t, err)
	require.Equal(t, "sts-fips.us-west-2.amazonaws.com", host)
}
