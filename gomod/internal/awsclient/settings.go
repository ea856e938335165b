// Package awsclient is what every part of glowplug needs to reach AWS: settings, credentials and an HTTP client, taken from
// arguments and a given environment map, and never from the environment of the process, which is stale inside Python.
//
//	cfg, err := awsclient.Resolve("s3", awsclient.Settings{Region: "eu-west-1"}, env)
//	client := s3.New(s3.Options{Region: cfg.Region, Credentials: cfg.Credentials, HTTPClient: cfg.HTTPClient})
package awsclient

import (
	"context"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/net/http/httpproxy"

	"github.com/glowplug/glowplug/gomod/internal/awsclient/transport"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/truststore"
)

// What applies when neither argument, environment nor profile says anything.
const (
	DefaultRegion         = "us-east-1"
	DefaultTimeout        = 10 * time.Second
	DefaultConnectTimeout = time.Second
	DefaultAttemptTimeout = 2 * time.Second
	DefaultMaxAttempts    = 3
	DefaultMaxConcurrency = 32
)

// Limits of the two counts, both inclusive; the least is 1.
const (
	LimitMaxAttempts    = 100
	LimitMaxConcurrency = 1024
)

// Settings are the arguments of a caller. A zero field is unset: environment, then profile, then built-in decide.
type Settings struct {
	Region      string // [a-z0-9-], at most 63; AWS_REGION, AWS_DEFAULT_REGION, profile "region", else us-east-1
	EndpointURL string // http or https, with an optional path; AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, the profile's services section, its "endpoint_url"
	Profile     string // must exist when named; AWS_PROFILE, AWS_DEFAULT_PROFILE, else "default", which need not exist

	AccessKeyID     string // with SecretAccessKey or not at all; then no other source is asked
	SecretAccessKey string
	SessionToken    string // only with the two above

	AddressingStyle string // "auto", "path" or "virtual"; profile "s3" block "addressing_style", else "auto"
	CABundle        string // path of a PEM file, the only roots then; AWS_CA_BUNDLE, profile "ca_bundle", else the system's
	UseFIPS         *bool  // AWS_USE_FIPS_ENDPOINT, profile "use_fips_endpoint", else false; not with an endpoint
	UseDualStack    *bool  // AWS_USE_DUALSTACK_ENDPOINT, profile "use_dualstack_endpoint", else false; not with an endpoint

	Timeout        time.Duration // of a whole call; default 10 s
	ConnectTimeout time.Duration // of DNS and TCP; default 1 s
	AttemptTimeout time.Duration // of one request; default 2 s

	MaxAttempts    int // 1 to 100, the first included; AWS_MAX_ATTEMPTS, profile "max_attempts", else 3
	MaxConcurrency int // requests at once, 1 to 1024; default 32

	OnConnect  func(ctx context.Context) // called with each new connection and the context of the request that asked for it; nil: nobody wants to know
	HTTPClient aws.HTTPClient            // a seam: replaces the transport, for credentials too; CA bundle, proxies, GLOWPLUG_OFFLINE and the connect time-out are its own matter then
}

// Config is what was decided. Its zero value is of no use; Resolve makes it.
type Config struct {
	Region          string
	EndpointURL     string // empty for AWS's own endpoints
	Profile         string // the profile in force; its existence is certain only when somebody named it
	AddressingStyle string // "auto", "path" or "virtual"
	UseFIPS         bool
	UseDualStack    bool
	Timeout         time.Duration
	ConnectTimeout  time.Duration
	AttemptTimeout  time.Duration
	MaxAttempts     int
	MaxConcurrency  int

	// Credentials looks for a source on its first Retrieve, then caches; many callers share one retrieval.
	// Its errors are *awserr.Error: see [Config.CredentialSource] for the order of the sources.
	Credentials aws.CredentialsProvider

	// HTTPClient is Transport, unless Settings.HTTPClient was given.
	HTTPClient aws.HTTPClient
	Transport  *transport.Client // nil when Settings.HTTPClient was given

	// Origins and Roots are for a diagnosis.
	Origins Origins
	Roots   func() (*truststore.Store, error) // as the transport loads it, at its first call; nil when Settings.HTTPClient was given

	credentials *chain
	proxy       func(*url.URL) (*url.URL, error)
	proxies     map[string]string // scheme to the variable that names its proxy
}

// Origins say who decided a setting: "the argument region", "AWS_REGION", `region of profile "dev"`, "the built-in region".
type Origins struct {
	Region, Trust string
	Endpoint      string // empty for AWS's own endpoints
}

// Proxy returns the proxy that applies to u, without its user and password, and the variable that names it; nil for none.
func (c *Config) Proxy(u *url.URL) (*url.URL, string) {
	if c.proxy == nil {
		return nil, ""
	}
	via, err := c.proxy(u)
	if err != nil || via == nil {
		return nil, "" // of an error the request tells
	}
	bare := *via
	bare.User = nil
	return &bare, c.proxies[u.Scheme]
}

// CredentialSource says in words where credentials come from ("environment", `profile "dev": SSO session "corp"`), without
// asking a server and without a secret. EC2 metadata is named when nothing else is configured, whether or not a server
// is there. The error is what Retrieve would answer before it asks anybody.
func (c *Config) CredentialSource() (string, error) {
	found, err := c.credentials.resolve()
	if err != nil {
		return "", err
	}
	return found.source, nil
}

// Close closes the connections of Transport; a retrieval of credentials that is under way ends with its callers.
func (c *Config) Close() {
	if c.Transport != nil {
		c.Transport.Close()
	}
}

// Resolve decides each setting by argument, environment variable, profile, built-in, in that order. The service is the key
// that AWS's endpoint variables use: "s3". It reads ~/.aws/config and ~/.aws/credentials at most once, asks no server,
// and keeps env, which must not change afterwards. Errors are *awserr.Error of Kind Invalid that name the setting's source.
func Resolve(service string, s Settings, env map[string]string) (*Config, error) {
	r, err := newResolver(s.Profile, env)
	if err != nil {
		return nil, err
	}
	cfg := &Config{Profile: r.name}
	for _, step := range []func(*resolver, string, Settings, *Config) error{
		resolveRegion, resolveEndpoint, resolveS3, resolveLimits, resolveClient, resolveCredentials,
	} {
		if err := step(r, service, s, cfg); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// resolver is where settings are looked up.
type resolver struct {
	env      map[string]string
	files    *profiles
	name     string // of the profile in force
	namedBy  string // who named it; empty for the implied "default"
	argument bool   // whether the caller named it
	profile  section
}

func newResolver(profile string, env map[string]string) (*resolver, error) {
	files, err := loadProfiles(env)
	if err != nil {
		return nil, err
	}
	named := first(
		setting{profile, "the argument profile"},
		setting{env["AWS_PROFILE"], "AWS_PROFILE"},
		setting{env["AWS_DEFAULT_PROFILE"], "AWS_DEFAULT_PROFILE"},
	)
	r := &resolver{env: env, files: files, name: coalesce(named.value, "default"), namedBy: named.source, argument: profile != ""}
	var exists bool
	if r.profile, exists = files.profiles[r.name]; !exists && named.value != "" {
		return nil, invalid(nil, "profile %q (named by %s) was not found in %s: add it there, or name another", r.name, r.namedBy, files.places())
	}
	return r, nil
}

// setting is a value and who gave it.
type setting struct{ value, source string }

func first(candidates ...setting) setting {
	for _, c := range candidates {
		if c.value != "" {
			return c
		}
	}
	return setting{}
}

func (r *resolver) variable(name string) setting { return setting{r.env[name], name} }

func (r *resolver) key(name string) setting { return setting{r.profile[name], r.keySource(name)} }

func (r *resolver) keySource(name string) string {
	return name + " of profile " + strconv.Quote(r.name)
}

// boolean takes "true" and "false" in any case, as AWS's SDKs do.
func boolean(s setting) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s.value)) {
	case "":
		return false, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid(nil, "%s must be true or false", s.source)
}

// isRegion takes [a-z0-9-]{1,63}: what can be a label of a host name, so that a region can't lead to another host.
func isRegion(s string) bool {
	return s != "" && len(s) <= 63 && !strings.ContainsFunc(s, func(c rune) bool { return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') })
}

func resolveRegion(r *resolver, _ string, s Settings, cfg *Config) error {
	region := first(
		setting{s.Region, "the argument region"},
		r.variable("AWS_REGION"), r.variable("AWS_DEFAULT_REGION"),
		r.key("region"),
		setting{DefaultRegion, "the built-in region"},
	)
	if !isRegion(region.value) {
		return invalid(nil, "%s must be 1 to 63 of a-z, 0-9 and -, for example eu-west-1", region.source)
	}
	cfg.Region, cfg.Origins.Region = region.value, region.source
	return nil
}

func resolveEndpoint(r *resolver, service string, s Settings, cfg *Config) error {
	endpoint := setting{s.EndpointURL, "the argument endpoint_url"}
	if endpoint.value == "" {
		var err error
		if endpoint, err = r.configuredEndpoint(service); err != nil {
			return err
		}
	}
	if endpoint.value != "" {
		if err := checkEndpoint(endpoint); err != nil {
			return err
		}
	}
	cfg.EndpointURL = endpoint.value
	if endpoint.value != "" {
		cfg.Origins.Endpoint = endpoint.source
	}

	for _, flag := range []struct {
		argument      *bool
		name, key, on string
		into          *bool
	}{
		{s.UseFIPS, "use_fips", "use_fips_endpoint", "AWS_USE_FIPS_ENDPOINT", &cfg.UseFIPS},
		{s.UseDualStack, "use_dualstack", "use_dualstack_endpoint", "AWS_USE_DUALSTACK_ENDPOINT", &cfg.UseDualStack},
	} {
		source := "the argument " + flag.name
		if flag.argument != nil {
			*flag.into = *flag.argument
		} else {
			value := first(r.variable(flag.on), r.key(flag.key))
			source = value.source
			var err error
			if *flag.into, err = boolean(value); err != nil {
				return err
			}
		}
		// The endpoint rules of S3 refuse the pair on each call; here it is refused once.
		if *flag.into && endpoint.value != "" {
			return invalid(nil, "%s can't be combined with an endpoint of your own (%s): remove one of them", source, endpoint.source)
		}
	}
	return nil
}

// configuredEndpoint is the endpoint that environment or profile give a service; empty for none.
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
func (r *resolver) configuredEndpoint(service string) (setting, error) {
	ignore, err := boolean(first(r.variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), r.key("ignore_configured_endpoint_urls")))
	if err != nil || ignore {
		return setting{}, err
	}
	found := first(r.variable("AWS_ENDPOINT_URL_"+strings.ToUpper(service)), r.variable("AWS_ENDPOINT_URL"))
	if found.value != "" {
		return found, nil
	}
	if name := r.profile["services"]; name != "" {
		services, ok := r.files.services[name]
		if !ok {
			return setting{}, invalid(nil, "%s names [services %s], which is not in %s: add that section, or remove the line", r.keySource("services"), name, r.files.places())
		}
		found = setting{services.sub(service, "endpoint_url"), "endpoint_url of " + service + " in [services " + name + "]"}
	}
	return first(found, r.key("endpoint_url")), nil
}

// checkEndpoint never quotes the value: somebody may have put a password into it.
func checkEndpoint(s setting) error {
	u, err := url.Parse(s.value)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "":
		return invalid(nil, "%s must be a URL such as https://s3.example.com:9000", s.source)
	case u.User != nil:
		return invalid(nil, "%s must not hold a user name or a password: give credentials on their own", s.source)
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(s.value, "#"):
		return invalid(nil, "%s must not have a query or a fragment: end it after the host or the path", s.source)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return invalid(nil, "%s has a port outside 1 to 65535", s.source)
		}
	}
	return nil
}

func resolveS3(r *resolver, _ string, s Settings, cfg *Config) error {
	style := first(
		setting{s.AddressingStyle, "the argument addressing_style"},
		setting{r.profile.sub("s3", "addressing_style"), r.keySource("s3 addressing_style")},
		setting{"auto", "the built-in addressing style"},
	)
	switch style.value {
	case "auto", "path", "virtual":
		cfg.AddressingStyle = style.value
		return nil
	}
	return invalid(nil, "%s must be auto, path or virtual", style.source)
}

func resolveLimits(r *resolver, _ string, s Settings, cfg *Config) error {
	for _, d := range []struct {
		name            string
		value, standard time.Duration
		into            *time.Duration
	}{
		{"timeout", s.Timeout, DefaultTimeout, &cfg.Timeout},
		{"connect_timeout", s.ConnectTimeout, DefaultConnectTimeout, &cfg.ConnectTimeout},
		{"attempt_timeout", s.AttemptTimeout, DefaultAttemptTimeout, &cfg.AttemptTimeout},
	} {
		if d.value < 0 {
			return invalid(nil, "the argument %s must be more than 0 seconds", d.name)
		}
		if *d.into = d.value; d.value == 0 {
			*d.into = d.standard
		}
	}

	attempts := setting{source: "the argument max_attempts"}
	cfg.MaxAttempts = s.MaxAttempts
	if s.MaxAttempts == 0 {
		cfg.MaxAttempts = DefaultMaxAttempts
		if attempts = first(r.variable("AWS_MAX_ATTEMPTS"), r.key("max_attempts")); attempts.value != "" {
			n, err := strconv.Atoi(strings.TrimSpace(attempts.value))
			if err != nil {
				return invalid(nil, "%s must be a whole number from 1 to %d", attempts.source, LimitMaxAttempts)
			}
			cfg.MaxAttempts = n
		}
	}
	if cfg.MaxAttempts < 1 || cfg.MaxAttempts > LimitMaxAttempts {
		return invalid(nil, "%s must be a whole number from 1 to %d", attempts.source, LimitMaxAttempts)
	}

	if cfg.MaxConcurrency = s.MaxConcurrency; s.MaxConcurrency == 0 {
		cfg.MaxConcurrency = DefaultMaxConcurrency
	}
	if cfg.MaxConcurrency < 1 || cfg.MaxConcurrency > LimitMaxConcurrency {
		return invalid(nil, "the argument max_concurrency must be a whole number from 1 to %d", LimitMaxConcurrency)
	}
	return nil
}

func resolveClient(r *resolver, _ string, s Settings, cfg *Config) error {
	if s.HTTPClient != nil {
		cfg.HTTPClient = s.HTTPClient
		return nil
	}
	bundle := first(setting{s.CABundle, "the argument ca_bundle"}, r.variable("AWS_CA_BUNDLE"), r.key("ca_bundle"))
	roots := func() (*truststore.Store, error) { return truststore.System(r.env) }
	cfg.Origins.Trust = first(setting{r.env["SSL_CERT_FILE"], "SSL_CERT_FILE"}, setting{r.env["SSL_CERT_DIR"], "SSL_CERT_DIR"}, setting{"-", "the system's"}).source
	if bundle.value != "" {
		cfg.Origins.Trust = bundle.source
		path := r.files.expand(bundle.value)
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return invalid(err, "%s (%s) must be a file of PEM certificates: correct the path, or remove the setting", bundle.source, path)
		}
		roots = func() (*truststore.Store, error) { return truststore.File(path) }
	}
	cfg.Roots = sync.OnceValues(roots)
	var err error
	if cfg.proxy, cfg.proxies, err = r.proxy(); err != nil {
		return err
	}
	offline, err := r.offline()
	if err != nil {
		return err
	}
	cfg.Transport = transport.New(transport.Options{
		ConnectTimeout: cfg.ConnectTimeout,
		AttemptTimeout: cfg.AttemptTimeout,
		MaxIdlePerHost: cfg.MaxConcurrency,
		Roots:          cfg.Roots,
		Proxy:          cfg.proxy,
		LoopbackOnly:   offline,
		OnConnect:      s.OnConnect,
	})
	cfg.HTTPClient = cfg.Transport
	return nil
}

// offline tells whether GLOWPLUG_OFFLINE keeps every request, also those for credentials, on this machine. A word that it
// doesn't know is refused: a suite of tests relies on it.
func (r *resolver) offline() (bool, error) {
	switch v := r.variable("GLOWPLUG_OFFLINE"); strings.TrimSpace(v.value) {
	case "1":
		return true, nil
	case "0":
		return false, nil
	default:
		on, err := boolean(v)
		if err != nil {
			return false, invalid(nil, "GLOWPLUG_OFFLINE must be 1, 0, true or false")
		}
		return on, nil
	}
}

// proxy is nil when no variable names one, so that the common path asks nothing per request. The lower-case name wins, as in
// Python and curl. Link-local hosts are never proxied: they hand out credentials in clear text.
func (r *resolver) proxy() (_ func(*url.URL) (*url.URL, error), sources map[string]string, _ error) {
	http := first(r.variable("http_proxy"), r.variable("HTTP_PROXY"))
	https := first(r.variable("https_proxy"), r.variable("HTTPS_PROXY"))
	if http.value == "" && https.value == "" {
		return nil, nil, nil
	}
	for _, p := range []setting{http, https} {
		if err := checkProxy(p); err != nil {
			return nil, nil, err
		}
	}
	ask := (&httpproxy.Config{
		HTTPProxy:  http.value,
		HTTPSProxy: https.value,
		NoProxy:    coalesce(r.env["no_proxy"], r.env["NO_PROXY"]),
		// Under CGI a client sets HTTP_PROXY by a "Proxy:" header; it can't set the lower-case name.
		CGI: r.env["REQUEST_METHOD"] != "" && http.source == "HTTP_PROXY",
	}).ProxyFunc()
	return func(u *url.URL) (*url.URL, error) {
		if linkLocal(u.Hostname()) {
			return nil, nil
		}
		return ask(u)
	}, map[string]string{"http": http.source, "https": https.source}, nil
}

// checkProxy refuses what httpproxy would pass over in silence; it never quotes the value, which may hold a password.
func checkProxy(s setting) error {
	if s.value == "" {
		return nil
	}
	value := s.value
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	if u, err := url.Parse(value); err == nil && u.Hostname() != "" {
		switch u.Scheme {
		case "http", "https", "socks5", "socks5h":
			return nil
		}
	}
	return invalid(nil, "%s must be a URL such as http://proxy.example.com:3128", s.source)
}

var awsLocal = &net.IPNet{IP: net.ParseIP("fd00:ec2::"), Mask: net.CIDRMask(32, 128)}

func linkLocal(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLinkLocalUnicast() || awsLocal.Contains(ip))
}

func resolveCredentials(r *resolver, _ string, s Settings, cfg *Config) error {
	switch {
	case s.AccessKeyID != "" && s.SecretAccessKey == "":
		return invalid(nil, "the argument access_key_id was given without secret_access_key: give both or neither")
	case s.AccessKeyID == "" && s.SecretAccessKey != "":
		return invalid(nil, "the argument secret_access_key was given without access_key_id: give both or neither")
	case s.AccessKeyID == "" && s.SessionToken != "":
		return invalid(nil, "the argument session_token was given without access_key_id and secret_access_key: give all three")
	}
	for _, v := range []setting{
		{s.AccessKeyID, "the argument access_key_id"},
		{s.SecretAccessKey, "the argument secret_access_key"},
		{s.SessionToken, "the argument session_token"},
	} {
		if !printable(v.value) {
			return invalid(nil, "%s holds a space, a line break or another character that no key has: copy it again", v.source)
		}
	}
	cfg.credentials = newChain(r, cfg, aws.Credentials{
		AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.SessionToken,
		Source: "arguments",
	})
	cfg.Credentials = cfg.credentials
	return nil
}

// printable is what can stand in a header: a key that can't was copied wrongly, and most often ends in a line break.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f })
}
