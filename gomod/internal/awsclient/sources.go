package awsclient

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sso"
	"github.com/aws/aws-sdk-go-v2/service/ssooidc"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/glowplug/glowplug/gomod/internal/awsclient/transport"
)

const (
	maxTokenFile   = 64 << 10 // a web identity token is at most 20,000 characters, says STS
	maxAnswer      = 1 << 20  // of a credential server
	maxProcess     = 1 << 20  // of what a credential_process prints
	maxSourceDepth = 10       // of source_profile links; AWS allows chains, a person writes two or three

	containerHost = "169.254.170.2"
	imdsHost      = "http://169.254.169.254"
	imdsHostIPv6  = "http://[fd00:ec2::254]"

	// Two requests without an answer (a version 2 token, then version 1) make the one second after which nobody is there.
	imdsSilence = 500 * time.Millisecond
	imdsAnswer  = time.Second
)

func (c *chain) environment() (*source, error) {
	env := c.resolver.env
	creds := aws.Credentials{
		AccessKeyID: env["AWS_ACCESS_KEY_ID"], SecretAccessKey: env["AWS_SECRET_ACCESS_KEY"], SessionToken: env["AWS_SESSION_TOKEN"],
		AccountID: env["AWS_ACCOUNT_ID"], Source: "environment",
	}
	if creds.AccessKeyID == "" {
		return nil, nil
	}
	if creds.SecretAccessKey == "" {
		return nil, failure("PartialCredentials", nil, "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: set both or neither")
	}
	if err := checkKeys(creds, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"); err != nil {
		return nil, err
	}
	s := &source{source: "the environment (AWS_ACCESS_KEY_ID)", fixed: &creds}
	if end := env["AWS_CREDENTIAL_EXPIRATION"]; end != "" {
		var err error
		if creds.Expires, err = time.Parse(time.RFC3339, end); err != nil {
			return nil, invalid(nil, "AWS_CREDENTIAL_EXPIRATION must be a time such as 2030-01-31T12:00:00Z")
		}
		creds.CanExpire = true
		s.fixed, s.retrieve = nil, func(context.Context) (aws.Credentials, error) { return creds, nil }
	}
	return s, nil
}

func checkKeys(creds aws.Credentials, access, secret, token string) error {
	for _, v := range []setting{{creds.AccessKeyID, access}, {creds.SecretAccessKey, secret}, {creds.SessionToken, token}} {
		if !printable(v.value) {
			return failure("MalformedCredentials", nil, "%s holds a space, a line break or another character that no key has: copy it again", v.source)
		}
	}
	return nil
}

func (c *chain) environmentWebIdentity() (*source, error) {
	env := c.resolver.env
	file := env["AWS_WEB_IDENTITY_TOKEN_FILE"]
	if file == "" {
		return nil, nil
	}
	where := "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)"
	if env["AWS_ROLE_ARN"] == "" {
		return nil, failure("WebIdentityError", nil, "%s names no role: set AWS_ROLE_ARN", where)
	}
	return c.webIdentity(where, file, section{"role_arn": env["AWS_ROLE_ARN"], "role_session_name": env["AWS_ROLE_SESSION_NAME"]})
}

func (c *chain) profile() (*source, error) { return c.fromProfile(c.resolver.name, nil) }

// fromProfile takes what botocore takes, in its order; via are the profiles whose source_profile led here. A profile that is
// a source gives its own keys before its role, so that it can name itself.
func (c *chain) fromProfile(name string, via []string) (*source, error) {
	p := c.resolver.files.profiles[name]
	where := "profile " + strconv.Quote(name)
	switch {
	case len(via) > 0 && p["aws_access_key_id"] != "":
		return c.staticProfile(where, p)
	case p["web_identity_token_file"] != "":
		if p["role_arn"] == "" {
			return nil, failure("InvalidProfile", nil, "%s has web_identity_token_file without role_arn: add role_arn", where)
		}
		return c.webIdentity(where+": web identity", p["web_identity_token_file"], p)
	case p["role_arn"] != "":
		return c.role(name, p, via)
	case p["sso_account_id"] != "" || p["sso_role_name"] != "":
		return c.sso(name, p)
	case p["aws_access_key_id"] != "":
		return c.staticProfile(where, p)
	case p["login_session"] != "":
		return nil, failure("UnsupportedSource", nil, "%s uses login_session, which glowplug can't read: run `aws configure export-credentials --profile %s --format env` and use what it prints", where, name)
	case p["credential_process"] != "":
		return c.process(where, p["credential_process"])
	}
	return nil, nil
}

func (c *chain) staticProfile(where string, p section) (*source, error) {
	creds := aws.Credentials{
		AccessKeyID: p["aws_access_key_id"], SecretAccessKey: p["aws_secret_access_key"], SessionToken: p["aws_session_token"],
		AccountID: p["aws_account_id"], Source: where,
	}
	if creds.SecretAccessKey == "" {
		return nil, failure("PartialCredentials", nil, "%s has aws_access_key_id without aws_secret_access_key: add it", where)
	}
	if err := checkKeys(creds, "aws_access_key_id of "+where, "aws_secret_access_key of "+where, "aws_session_token of "+where); err != nil {
		return nil, err
	}
	return &source{source: where + ": keys", fixed: &creds}, nil
}

// role is a profile with role_arn: credentials from elsewhere are exchanged for the role's.
func (c *chain) role(name string, p section, via []string) (*source, error) {
	where := "profile " + strconv.Quote(name)
	if p["mfa_serial"] != "" {
		return nil, failure("MFARequired", nil, "%s needs a code of an MFA device (mfa_serial), and glowplug can't ask for one: "+
			"run `aws configure export-credentials --profile %s --format env` and use what it prints", where, name)
	}
	base, err := c.roleSource(name, p, via)
	if err != nil {
		return nil, err
	}
	duration, err := roleDuration(where, p)
	if err != nil {
		return nil, err
	}
	var used aws.Credentials
	client, err := c.sts(aws.CredentialsProviderFunc(func(ctx context.Context) (creds aws.Credentials, err error) {
		creds, err = base.get(ctx)
		used = creds
		return creds, err
	}))
	if err != nil {
		return nil, err
	}
	provider := stscreds.NewAssumeRoleProvider(client, p["role_arn"], func(o *stscreds.AssumeRoleOptions) {
		o.Duration = duration
		o.RoleSessionName = coalesce(p["role_session_name"], sessionName())
		if id := p["external_id"]; id != "" {
			o.ExternalID = &id
		}
	})
	return &source{
		source: where + ": role " + p["role_arn"] + " by " + base.source,
		retrieve: func(ctx context.Context) (aws.Credentials, error) {
			creds, err := provider.Retrieve(ctx)
			if err != nil {
				return creds, refused("AssumeRoleError", err, []string{used.SecretAccessKey, used.SessionToken},
					"role "+p["role_arn"]+" of "+where+" was not assumed", "check its trust policy and the identity of "+base.source)
			}
			return creds, nil
		},
	}, nil
}

// roleSource finds the credentials that a role is assumed with.
func (c *chain) roleSource(name string, p section, via []string) (*source, error) {
	where := "profile " + strconv.Quote(name)
	from, ambient := p["source_profile"], p["credential_source"]
	switch {
	case from != "" && ambient != "":
		return nil, failure("InvalidProfile", nil, "%s has source_profile and credential_source: remove one of them", where)
	case from == "" && ambient == "":
		return nil, failure("InvalidProfile", nil, "%s has role_arn and says not with what to assume it: add source_profile or credential_source", where)
	case ambient != "":
		return c.ambientSource(where, ambient)
	}
	via = append(via, name)
	if len(via) > maxSourceDepth {
		return nil, failure("InvalidProfile", nil, "%s is the %dth in a chain of source_profile: shorten the chain", where, len(via))
	}
	next, ok := c.resolver.files.profiles[from]
	if !ok {
		return nil, failure("InvalidProfile", nil, "source_profile of %s names %q, which was not found in %s: add it there, or name another", where, from, c.resolver.files.places())
	}
	for _, seen := range via {
		if seen == from && next["aws_access_key_id"] == "" {
			return nil, failure("InvalidProfile", nil, "source_profile of %s leads back to profile %q: let the last one hold keys", where, from)
		}
	}
	found, err := c.fromProfile(from, via)
	if found == nil && err == nil {
		err = failure("InvalidProfile", nil, "source_profile of %s names profile %q, which has no credentials: add them there", where, from)
	}
	return found, err
}

func (c *chain) ambientSource(where, ambient string) (found *source, err error) {
	switch ambient {
	case "Environment":
		found, err = c.environment()
	case "EcsContainer":
		found, err = c.container()
	case "Ec2InstanceMetadata":
		found, err = c.ec2()
	default:
		return nil, failure("InvalidProfile", nil, "credential_source of %s must be Environment, EcsContainer or Ec2InstanceMetadata", where)
	}
	if found == nil && err == nil {
		err = failure("InvalidProfile", nil, "credential_source of %s is %s, and there are no such credentials here: set them up, or use source_profile", where, ambient)
	}
	return found, err
}

func (s *source) get(ctx context.Context) (aws.Credentials, error) {
	if s.fixed != nil {
		return *s.fixed, nil
	}
	return s.retrieve(ctx)
}

// roleDuration is an hour unless the profile says otherwise: the SDK's own default is 15 minutes, botocore's is STS's hour.
func roleDuration(where string, p section) (time.Duration, error) {
	text := p["duration_seconds"]
	if text == "" {
		return time.Hour, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 900 || n > 43200 {
		return 0, failure("InvalidProfile", nil, "duration_seconds of %s must be a whole number from 900 to 43200", where)
	}
	return time.Duration(n) * time.Second, nil
}

func sessionName() string { return "glowplug-" + strconv.FormatInt(time.Now().UnixNano(), 10) }

// webIdentity exchanges the token in a file, read anew each time, for the credentials of a role.
func (c *chain) webIdentity(where, file string, p section) (*source, error) {
	client, err := c.sts(nil)
	if err != nil {
		return nil, err
	}
	file = c.resolver.files.expand(file)
	token := &tokenFile{path: file}
	provider := stscreds.NewWebIdentityRoleProvider(client, p["role_arn"], token, func(o *stscreds.WebIdentityRoleOptions) {
		o.RoleSessionName = coalesce(p["role_session_name"], sessionName())
	})
	return &source{source: where, retrieve: func(ctx context.Context) (aws.Credentials, error) {
		creds, err := provider.Retrieve(ctx)
		if err == nil {
			return creds, nil
		}
		if token.err != nil {
			return creds, failure("WebIdentityError", cause(token.err), "%s: the token file %s can't be read: correct its path or its permissions", where, file)
		}
		return creds, refused("WebIdentityError", err, []string{token.last},
			where+": role "+p["role_arn"]+" was not assumed", "check the role's trust policy and that the token in "+file+" is fresh")
	}}, nil
}

// tokenFile implements stscreds.IdentityTokenRetriever with a bound, and remembers what no message may show.
type tokenFile struct {
	path, last string
	err        error
}

func (t *tokenFile) GetIdentityToken() ([]byte, error) {
	var data []byte
	data, t.err = readBounded(t.path, maxTokenFile)
	data = bytes.TrimSpace(data)
	if t.last = string(data); t.err == nil && t.last == "" {
		t.err = errors.New("the file is empty")
	}
	return data, t.err
}

// serviceEndpoint is the endpoint of a service that hands out credentials; nil for AWS's own.
func (c *chain) serviceEndpoint(service string) (*string, error) {
	endpoint, err := c.resolver.configuredEndpoint(service)
	if err != nil || endpoint.value == "" {
		return nil, err
	}
	if err := checkEndpoint(endpoint); err != nil {
		return nil, err
	}
	if c.cfg.UseFIPS || c.cfg.UseDualStack {
		return nil, invalid(nil, "%s can't be combined with FIPS or dual-stack endpoints: remove one of them", endpoint.source)
	}
	return &endpoint.value, nil
}

func (c *chain) fips() aws.FIPSEndpointState {
	if c.cfg.UseFIPS {
		return aws.FIPSEndpointStateEnabled
	}
	return aws.FIPSEndpointStateUnset
}

func (c *chain) dualStack() aws.DualStackEndpointState {
	if c.cfg.UseDualStack {
		return aws.DualStackEndpointStateEnabled
	}
	return aws.DualStackEndpointStateUnset
}

func (c *chain) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = c.cfg.MaxAttempts, time.Second
		// The container endpoints of AWS throttle by status alone, without a code.
		o.Retryables = append(o.Retryables, retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
	})
}

// client bounds whole answers by the time-out of a call; the transport gives up a silent server long before.
func (c *chain) client() *bounded {
	return &bounded{client: c.cfg.HTTPClient, first: c.cfg.Timeout, later: c.cfg.Timeout}
}

func (c *chain) sts(with aws.CredentialsProvider) (*sts.Client, error) {
	endpoint, err := c.serviceEndpoint("sts")
	if err != nil {
		return nil, err
	}
	return sts.New(sts.Options{
		Region: c.cfg.Region, BaseEndpoint: endpoint, HTTPClient: c.client(), Credentials: with, Retryer: c.retryer(),
		EndpointOptions: sts.EndpointResolverOptions{UseFIPSEndpoint: c.fips(), UseDualStackEndpoint: c.dualStack()},
	}), nil
}

// sso exchanges the token that `aws sso login` left for the credentials of a role. With an sso_session the token is renewed when
// it has ended, and written back, as the AWS command line does.
func (c *chain) sso(name string, p section) (*source, error) {
	where := "profile " + strconv.Quote(name)
	login := p // the legacy form says it all in the profile
	session := p["sso_session"]
	if session != "" {
		var ok bool
		if login, ok = c.resolver.files.sessions[session]; !ok {
			return nil, failure("InvalidProfile", nil, "sso_session of %s names [sso-session %s], which was not found in %s: add it there", where, session, c.resolver.files.places())
		}
	}
	for _, need := range []setting{
		{p["sso_account_id"], "sso_account_id"}, {p["sso_role_name"], "sso_role_name"},
		{login["sso_start_url"], "sso_start_url"}, {login["sso_region"], "sso_region"},
	} {
		if need.value == "" {
			return nil, failure("InvalidProfile", nil, "%s uses SSO and has no %s: run `aws configure sso --profile %s`", where, need.source, name)
		}
	}
	if c.resolver.files.home == "" {
		return nil, failure("SSOError", nil, "%s uses SSO, whose tokens lie in the home directory: set HOME", where)
	}
	region := login["sso_region"]
	if !isRegion(region) {
		return nil, failure("InvalidProfile", nil, "sso_region of %s must be 1 to 63 of a-z, 0-9 and -, for example eu-west-1", where)
	}
	portal, err := c.serviceEndpoint("sso")
	if err != nil {
		return nil, err
	}
	oidc, err := c.serviceEndpoint("sso_oidc")
	if err != nil {
		return nil, err
	}
	hash := sha1.Sum([]byte(coalesce(session, login["sso_start_url"])))
	file := filepath.Join(c.resolver.files.home, ".aws", "sso", "cache", hex.EncodeToString(hash[:])+".json")

	client := sso.New(sso.Options{
		Region: region, BaseEndpoint: portal, HTTPClient: c.client(), Retryer: c.retryer(),
		EndpointOptions: sso.EndpointResolverOptions{UseFIPSEndpoint: c.fips(), UseDualStackEndpoint: c.dualStack()},
	})
	provider := ssocreds.New(client, p["sso_account_id"], p["sso_role_name"], login["sso_start_url"], func(o *ssocreds.Options) {
		o.CachedTokenFilepath = file
		if session != "" {
			o.SSOTokenProvider = ssocreds.NewSSOTokenProvider(ssooidc.New(ssooidc.Options{
				Region: region, BaseEndpoint: oidc, HTTPClient: c.client(), Retryer: c.retryer(),
				EndpointOptions: ssooidc.EndpointResolverOptions{UseFIPSEndpoint: c.fips(), UseDualStackEndpoint: c.dualStack()},
			}), file)
		}
	})
	what := where + ": SSO"
	if session != "" {
		what += " session " + strconv.Quote(session)
	}
	return &source{source: what, retrieve: func(ctx context.Context) (aws.Credentials, error) {
		creds, err := provider.Retrieve(ctx)
		if err == nil {
			return creds, nil
		}
		if !loginNeeded(err) {
			return creds, refused("SSOError", hideText{err}, nil, what+" gave no credentials", "check sso_account_id, sso_role_name and the network")
		}
		return creds, failure("SSOTokenExpired", cause(hideText{err}), "%s: the token is missing or expired: run `aws sso login --profile %s`", what, name)
	}}, nil
}

// loginNeeded tells a token that is missing, broken or refused from a portal that fails or refuses the role.
func loginNeeded(err error) bool {
	var asked *smithy.OperationError
	if !errors.As(err, &asked) {
		return true
	}
	status := httpStatus(err)
	renewal := asked.OperationName == "CreateToken" && status >= 400 && status < 500 && status != http.StatusTooManyRequests
	return renewal || status == http.StatusUnauthorized
}

// process runs a credential_process with the given environment, without a terminal; what it prints is shown nowhere.
func (c *chain) process(where, command string) (*source, error) {
	provider := processcreds.NewProviderCommand(processcreds.NewCommandBuilderFunc(
		func(ctx context.Context) (*exec.Cmd, error) { return newCommand(ctx, command, c.resolver.env) },
	), func(o *processcreds.Options) { o.Timeout = maxRetrieval })
	what := where + ": credential_process"
	return &source{source: what, retrieve: func(ctx context.Context) (aws.Credentials, error) {
		creds, err := provider.Retrieve(ctx)
		if err != nil {
			return creds, failure("CredentialProcessError", cause(err), "%s gave no credentials%s: run it by hand to see what it prints", what, because(cause(err)))
		}
		return creds, nil
	}}, nil
}

// container asks the endpoint that ECS, EKS and Lambda's SnapStart offer. As in botocore the relative URI goes first.
func (c *chain) container() (*source, error) {
	env := c.resolver.env
	relative, full := env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"], env["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
	endpoint, variable := "http://"+containerHost+relative, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	switch {
	case relative != "":
		// "@evil.example" would make the address a user name.
		if relative[0] != '/' {
			return nil, failure("ContainerCredentialsError", nil, "%s must start with a slash", variable)
		}
	case full != "":
		endpoint, variable = full, "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	default:
		return nil, nil
	}
	if u, err := url.Parse(endpoint); err != nil || !containerAllowed(u) {
		return nil, failure("ContainerCredentialsError", nil, "%s must be https, or http on a loopback address, 169.254.170.2, 169.254.170.23 or fd00:ec2::23", variable)
	}
	where := "the container endpoint (" + variable + ")"
	secret := env["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
	if strings.ContainsAny(secret, "\r\n") {
		return nil, failure("ContainerCredentialsError", nil, "AWS_CONTAINER_AUTHORIZATION_TOKEN holds a line break: copy it again")
	}
	var token *tokenFile
	if file := env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]; file != "" {
		token = &tokenFile{path: file}
	}
	provider := endpointcreds.New(endpoint, func(o *endpointcreds.Options) {
		o.HTTPClient, o.Retryer, o.AuthorizationToken = c.client(), c.retryer(), secret
		if token != nil {
			o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
				data, err := token.GetIdentityToken()
				return string(data), err
			})
		}
	})
	return &source{source: where, retrieve: func(ctx context.Context) (aws.Credentials, error) {
		creds, err := provider.Retrieve(ctx)
		switch {
		case err == nil:
			return creds, nil
		case token != nil && token.err != nil:
			return creds, failure("ContainerCredentialsError", cause(token.err), "%s: the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE can't be read: correct its path or its permissions", where)
		}
		return creds, refused("ContainerCredentialsError", hideText{err}, nil, where+" gave no credentials", "check the address and its authorization token")
	}}, nil
}

// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
func containerAllowed(u *url.URL) bool {
	host := u.Hostname()
	if u.Scheme == "https" {
		return host != ""
	}
	if u.Scheme != "http" {
		return false
	}
	switch host {
	case "localhost", containerHost, "169.254.170.23", "fd00:ec2::23":
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// ec2 asks the metadata service of an EC2 instance, unless that is switched off or this is a Lambda, which has none.
func (c *chain) ec2() (*source, error) {
	r := c.resolver
	if off, err := c.ec2Off(); err != nil || off != "" {
		return nil, err
	}
	oldOff, err := boolean(first(r.variable("AWS_EC2_METADATA_V1_DISABLED"), r.key("ec2_metadata_v1_disabled")))
	if err != nil {
		return nil, err
	}
	endpoint := first(r.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT"), r.key("ec2_metadata_service_endpoint"))
	mode := first(r.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"), r.key("ec2_metadata_service_endpoint_mode"))
	switch m := strings.ToLower(mode.value); {
	case m != "" && m != "ipv4" && m != "ipv6":
		return nil, invalid(nil, "%s must be IPv4 or IPv6", mode.source)
	case endpoint.value != "":
		if err := checkEndpoint(endpoint); err != nil {
			return nil, err
		}
	case m == "ipv6":
		endpoint.value = imdsHostIPv6
	default:
		endpoint.value = imdsHost
	}
	where := "EC2 metadata"
	client := imds.New(imds.Options{
		// Both are set even to their standard, for the SDK asks the process's environment when they are not.
		Endpoint: endpoint.value, ClientEnableState: imds.ClientEnabled,
		EnableFallback: aws.BoolTernary(!oldOff),
		HTTPClient:     &bounded{client: c.cfg.HTTPClient, first: imdsSilence, later: imdsAnswer},
		Retryer:        aws.NopRetryer{},
	})
	provider := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = client })
	return &source{source: where, outlive: true, retrieve: func(ctx context.Context) (aws.Credentials, error) {
		creds, err := provider.Retrieve(ctx)
		switch {
		case err == nil:
			return creds, nil
		case offline(err) != nil:
			return creds, offline(err)
		case unanswered(err):
			return creds, c.nothing("EC2 metadata (no answer)", cause(err))
		case httpStatus(err) == http.StatusNotFound:
			return creds, c.nothing("EC2 metadata (the instance has no role)", cause(err))
		}
		return creds, refused("EC2MetadataError", hideText{err}, nil, where+" gave no credentials", "check the role of the instance")
	}}, nil
}

// ec2Off says why the metadata service is not asked; empty when it is.
func (c *chain) ec2Off() (string, error) {
	env := c.resolver.env
	if env["AWS_LAMBDA_FUNCTION_NAME"] != "" || strings.HasPrefix(env["AWS_EXECUTION_ENV"], "AWS_Lambda_") {
		return "a Lambda has none", nil
	}
	off, err := boolean(c.resolver.variable("AWS_EC2_METADATA_DISABLED"))
	if off {
		return "switched off by AWS_EC2_METADATA_DISABLED", nil
	}
	return "", err
}

// bounded bounds the time and the size of each answer, and reads it whole, so that its deadline can't cut the body later.
type bounded struct {
	client       aws.HTTPClient
	first, later time.Duration // before and after the first answer
	answered     atomic.Bool
}

func (b *bounded) Do(req *http.Request) (*http.Response, error) {
	limit := b.first
	if b.answered.Load() {
		limit = b.later
	}
	ctx, cancel := context.WithTimeout(req.Context(), limit)
	defer cancel()
	resp, err := b.client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b.answered.Store(true)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer is %w of 1 MiB", errTooLarge)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// offline finds the refusal of an address that is no loopback, which says more than any error around it.
func offline(err error) error {
	if e, ok := transport.Classify(err); ok && e.Code == transport.CodeOffline {
		return e
	}
	return nil
}

func unanswered(err error) bool {
	var send *smithyhttp.RequestSendError
	return errors.As(err, &send)
}

func httpStatus(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}
