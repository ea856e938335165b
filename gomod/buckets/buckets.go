// Package buckets lists the S3 buckets of an account with their regions.
//
// One request lists a page of buckets, and on AWS it tells their regions too.
// Where a server does not, the regions are looked up concurrently while the
// later pages are still being fetched:
//
//	lister, err := buckets.New(buckets.Options{Env: buckets.Environ(os.Environ())})
//	...
//	listing, err := lister.List(ctx, buckets.Query{Prefix: "logs-"})
//	for _, b := range listing.Buckets {
//		fmt.Println(b.Name, b.Region)
//	}
//
// A bucket whose region can't be had carries its own error. The whole call fails
// only for what is fatal to all of it: credentials, a refused listing, the
// deadline, cancellation. Every error is an [*Error].
package buckets

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient"
	"github.com/glowplug/glowplug/gomod/internal/listxml"
	"github.com/glowplug/glowplug/gomod/internal/version"
)

// API is the part of *s3.Client that a Lister uses.
type API interface {
	ListBuckets(context.Context, *s3.ListBucketsInput, ...func(*s3.Options)) (*s3.ListBucketsOutput, error)
	HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error)
	GetBucketLocation(context.Context, *s3.GetBucketLocationInput, ...func(*s3.Options)) (*s3.GetBucketLocationOutput, error)
}

var _ API = (*s3.Client)(nil)

// Options says how to reach S3. The zero value works: what is unset comes from
// Env, then from the profile, then from the default.
type Options struct {
	// Env holds the environment variables that apply (AWS_REGION, HTTPS_PROXY, ...);
	// the process's own are not read. Default: none. See [Environ].
	Env map[string]string

	// Region signs the requests and chooses AWS's endpoint. Default: AWS_REGION,
	// AWS_DEFAULT_REGION, the profile's, us-east-1.
	Region string
	// EndpointURL is an http or https URL to use in place of AWS's endpoints. Default:
	// AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's, AWS's own.
	EndpointURL string
	// Profile names the section of the AWS config files. Default: AWS_PROFILE, "default".
	// A profile named here comes before the environment's credentials.
	Profile string

	// AccessKeyID, SecretAccessKey and SessionToken are static credentials: the first
	// two go together. Default: the chain of environment, container endpoint, web
	// identity, profile and instance metadata, asked at the first request.
	AccessKeyID, SecretAccessKey, SessionToken string
	// Credentials replaces the chain. Default: nil.
	Credentials aws.CredentialsProvider

	// AddressingStyle is "path", "virtual" or "auto". Default: auto, which is path, for
	// then all look-ups share the connections to one host.
	AddressingStyle string
	// UseFIPS and UseDualStack choose these variants of AWS's endpoints. Default: false.
	UseFIPS, UseDualStack *bool
	// CABundle is a file of PEM certificates to trust in place of the system's. Default:
	// AWS_CA_BUNDLE, the profile's, the system's.
	CABundle string

	// Timeout bounds a call whose context has no deadline of its own. Default: 10 s.
	Timeout time.Duration
	// ConnectTimeout bounds DNS and TCP of one connection. Default: 1 s.
	ConnectTimeout time.Duration
	// AttemptTimeout is the longest silence of the server within one attempt: until its
	// answer begins, then until each further part of it. Default: 2 s.
	AttemptTimeout time.Duration
	// MaxAttempts counts the attempts for one request, the first included, 1 to 100. Default: 3.
	MaxAttempts int
	// MaxConcurrency bounds the look-ups under way, 1 to 1024. Default: 32.
	MaxConcurrency int
	// MaxResponseBytes bounds the body of one answer; a page of 10,000 buckets has 2 MB.
	// Default: 32 MiB.
	MaxResponseBytes int64

	// CacheTTL is how long a looked-up region is remembered. Negative: not at all. Default: 5 min.
	CacheTTL time.Duration
	// CacheEntries bounds the remembered regions, about 150 bytes each. Default: 65,536.
	CacheEntries int

	// HTTPClient replaces the transport; ConnectTimeout, AttemptTimeout, CABundle and the
	// proxies are then its own affair. Default: nil.
	HTTPClient aws.HTTPClient
}

// The defaults of what buckets itself decides.
const (
	DefaultCacheTTL         = 5 * time.Minute
	DefaultCacheEntries     = 65_536
	DefaultMaxResponseBytes = 32 << 20
	DefaultTimeout          = 10 * time.Second
	DefaultMaxConcurrency   = 32
)

// Environ makes the map for Options.Env from the form of os.Environ.
func Environ(list []string) map[string]string {
	env := make(map[string]string, len(list))
	for _, entry := range list {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	return env
}

// Lister lists buckets and tells regions. It is safe for concurrent use; its
// connections, cache and look-up bound are shared by all calls.
type Lister struct {
	api     API
	timeout time.Duration
	scope   string
	// regional: the endpoint follows the request's region, so a filter can ask that region's.
	regional bool
	gate     *gate
	cache    *cache

	// What New made; nil where the caller brought the API.
	config      *awsclient.Config
	http        aws.HTTPClient
	credentials aws.CredentialsProvider
	endpoint    *url.URL // of the listing
}

// New makes a Lister. It sends nothing: credentials are looked for at the first
// call or by [Lister.Preconnect]. Errors: of kind Invalid for an option that can't be used.
func New(o Options) (*Lister, error) {
	config, err := awsclient.Resolve("s3", awsclient.Settings{
		Region: o.Region, EndpointURL: o.EndpointURL, Profile: o.Profile,
		AccessKeyID: o.AccessKeyID, SecretAccessKey: o.SecretAccessKey, SessionToken: o.SessionToken,
		AddressingStyle: o.AddressingStyle, UseFIPS: o.UseFIPS, UseDualStack: o.UseDualStack, CABundle: o.CABundle,
		Timeout: o.Timeout, ConnectTimeout: o.ConnectTimeout, AttemptTimeout: o.AttemptTimeout,
		MaxAttempts: o.MaxAttempts, MaxConcurrency: o.MaxConcurrency, HTTPClient: o.HTTPClient,
		OnConnect: func(ctx context.Context) { Observed(ctx).connections.Add(1) },
	}, o.Env)
	if err != nil {
		return nil, err
	}
	o.Timeout, o.MaxConcurrency, o.EndpointURL, o.Region = config.Timeout, config.MaxConcurrency, config.EndpointURL, config.Region
	l, err := newLister(o)
	if err != nil {
		return nil, err
	}
	l.config, l.http, l.credentials = config, config.HTTPClient, config.Credentials
	if o.Credentials != nil {
		l.credentials = aws.NewCredentialsCache(recovering{o.Credentials})
	}
	options := s3.Options{
		Region:       config.Region,
		Credentials:  l.credentials,
		HTTPClient:   meter{config.HTTPClient},
		Retryer:      newRetryer(config.MaxAttempts, l.gate),
		UsePathStyle: config.AddressingStyle != "virtual",
		// Directory buckets are another API; their sessions would be a request of their own.
		DisableS3ExpressSessionAuth: aws.Bool(true),
		APIOptions:                  []func(*middleware.Stack) error{awsmiddleware.AddUserAgentKeyValue("glowplug", version.Version), listxml.Use(orDefault(o.MaxResponseBytes, DefaultMaxResponseBytes))},
	}
	if config.EndpointURL != "" {
		options.BaseEndpoint = aws.String(config.EndpointURL)
	}
	if config.UseFIPS {
		options.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if config.UseDualStack {
		options.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
	client := s3.New(options)
	l.api = client
	l.regional = config.EndpointURL == ""
	if l.endpoint, err = listingEndpoint(client.Options()); err != nil {
		return nil, classify(context.Background(), "", "", err)
	}
	return l, nil
}

// recovering keeps a panic of the caller's provider from ending the process: the
// cache asks it in a goroutine of its own.
type recovering struct{ aws.CredentialsProvider }

func (r recovering) Retrieve(ctx context.Context) (_ aws.Credentials, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
		}
	}()
	return r.CredentialsProvider.Retrieve(ctx)
}

// NewFromAPI makes a Lister over a client of the caller's, which keeps its own
// credentials, endpoint, retries and transport. Of o, only Timeout, MaxConcurrency,
// CacheTTL and CacheEntries apply; Preconnect and Close do nothing. Errors: of kind
// Invalid for no client and for an option that can't be used.
func NewFromAPI(api API, o Options) (*Lister, error) {
	if api == nil {
		return nil, &Error{Kind: awserr.Invalid, Code: "InvalidOption", Message: "the API is nil: give an *s3.Client"}
	}
	o.EndpointURL, o.Region = "", ""
	var regional bool
	if client, ok := api.(*s3.Client); ok {
		options := client.Options()
		o.EndpointURL, o.Region = aws.ToString(options.BaseEndpoint), options.Region
		regional = o.EndpointURL == ""
	}
	l, err := newLister(o)
	if err != nil {
		return nil, err
	}
	l.api, l.regional = api, regional
	return l, nil
}

func newLister(o Options) (*Lister, error) {
	for _, check := range []struct {
		bad  bool
		what string
	}{
		{o.Timeout < 0, "Timeout is negative: give a positive duration"},
		{o.MaxConcurrency < 0 || o.MaxConcurrency > 1024, "MaxConcurrency is outside 1 to 1024"},
		{o.CacheEntries < 0, "CacheEntries is negative"},
		{o.MaxResponseBytes < 0, "MaxResponseBytes is negative"},
	} {
		if check.bad {
			return nil, &Error{Kind: awserr.Invalid, Code: "InvalidOption", Message: check.what}
		}
	}
	o.Timeout = orDefault(o.Timeout, DefaultTimeout)
	scope := o.EndpointURL
	if scope == "" {
		scope = partition(o.Region)
	}
	return &Lister{
		timeout: o.Timeout,
		scope:   scope,
		gate:    newGate(orDefault(o.MaxConcurrency, DefaultMaxConcurrency), time.Now),
		cache:   newCache(orDefault(o.CacheTTL, DefaultCacheTTL), orDefault(o.CacheEntries, DefaultCacheEntries), time.Now),
	}, nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// partition is the part of AWS that a region belongs to, by its prefix: bucket names are unique in it.
func partition(region string) string {
	for _, p := range []string{"cn", "us-gov", "us-isob", "us-isof", "us-iso", "eu-isoe", "eusc"} {
		if strings.HasPrefix(region, p+"-") {
			return "aws-" + p
		}
	}
	return "aws"
}

// listingEndpoint is where ListBuckets of these options goes, by the SDK's own rules.
func listingEndpoint(o s3.Options) (*url.URL, error) {
	endpoint, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), s3.EndpointParameters{
		Region:         aws.String(o.Region),
		Endpoint:       o.BaseEndpoint,
		UseFIPS:        aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack:   aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
		ForcePathStyle: aws.Bool(o.UsePathStyle),
	})
	if err != nil {
		return nil, err
	}
	return &endpoint.URI, nil
}

// bounded gives ctx the Lister's time-out unless it has a deadline.
func (l *Lister) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, l.timeout)
}

// API returns the client that the Lister uses, for operations of the caller's own.
func (l *Lister) API() API { return l.api }

// Config returns what was decided for the Lister, for a diagnosis; nil where the
// caller brought the API.
func (l *Lister) Config() *awsclient.Config { return l.config }

// Endpoint returns the URL that listings are sent to and the region that signs
// them; both are empty where the API is no *s3.Client.
func (l *Lister) Endpoint() (endpoint, region string) {
	client, ok := l.api.(*s3.Client)
	if !ok {
		return "", ""
	}
	options := client.Options()
	if u, err := listingEndpoint(options); err == nil {
		endpoint = u.String()
	}
	return endpoint, options.Region
}

// Classify makes the *Error of what an operation of [Lister.API] failed with.
func Classify(ctx context.Context, operation, bucket string, err error) *Error {
	return classify(ctx, operation, bucket, err)
}

// Preconnect gets credentials and opens a connection (DNS, TCP, TLS) ahead of the
// first call. Errors: as of [Lister.List]; a failure spoils nothing, the next call tries again.
func (l *Lister) Preconnect(ctx context.Context) error {
	if l.http == nil {
		return nil
	}
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	if _, err := l.credentials.Retrieve(ctx); err != nil {
		return classify(ctx, "Preconnect", "", err)
	}
	if c, ok := l.http.(interface {
		Preconnect(context.Context, *url.URL) error
	}); ok {
		if err := c.Preconnect(ctx, l.endpoint); err != nil {
			return classify(ctx, "Preconnect", "", err)
		}
	}
	return nil
}

// Close closes the idle connections. Calls under way go on; the Lister may not be used after.
func (l *Lister) Close() {
	if c, ok := l.http.(interface{ Close() }); ok {
		c.Close()
	}
}
