package awsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/glowplug/glowplug/gomod/awserr"
)

const (
	// expiryWindow is how long before their end credentials are renewed; the jitter keeps a fleet from doing so at once.
	expiryWindow = 5 * time.Minute
	expiryJitter = 0.5
	// maxRetrieval bounds one retrieval whose callers have no deadline; the SDK gives a credential_process as much.
	maxRetrieval = time.Minute
)

// chain is the credentials of a Config. It decides for a source on first use, which asks no server, and answers from
// arguments or the environment without a lock. Everything else goes through the SDK's cache: one retrieval at a time, shared
// by its callers, renewed before its end. A retrieval ends early when the last of its callers has gone.
type chain struct {
	resolver  *resolver
	cfg       *Config
	arguments aws.Credentials
	cache     *aws.CredentialsCache

	mu        sync.Mutex
	found     *source
	looked    []string // where nothing was found
	callers   int
	abandon   context.CancelFunc // ends the retrieval under way; nil when there is none
	abandoned bool               // whether it was ended
	expires   time.Time          // when the last credentials really end; the cache's own date is earlier
}

var _ aws.CredentialsProvider = (*chain)(nil)

// source is a place to get credentials from that is configured.
type source struct {
	source   string                                             // in words, without a secret
	fixed    *aws.Credentials                                   // known already, without an end
	retrieve func(ctx context.Context) (aws.Credentials, error) // when fixed is nil
	outlive  bool                                               // whether its credentials may be used past their end while it fails (EC2)
}

func newChain(r *resolver, cfg *Config, arguments aws.Credentials) *chain {
	c := &chain{resolver: r, cfg: cfg, arguments: arguments}
	c.cache = aws.NewCredentialsCache((*retrieval)(c), func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow, o.ExpiryWindowJitterFrac = expiryWindow, expiryJitter
	})
	return c
}

// resolve finds the source once. A failure is found again on the next call, for it costs little.
func (c *chain) resolve() (found *source, err error) {
	defer recovered(&err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found == nil {
		if c.found, err = c.find(); err != nil {
			return nil, err
		}
	}
	return c.found, nil
}

// Retrieve implements [aws.CredentialsProvider]. Errors are *awserr.Error: of Kind Credentials with a code of ours, Timeout or
// Cancelled when ctx ended first, Invalid for a setting, Internal for a defect.
func (c *chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.resolve()
	if err != nil {
		return aws.Credentials{}, err
	}
	if found.fixed != nil {
		return *found.fixed, nil
	}
	for {
		creds, err := c.shared(ctx)
		switch {
		case err == nil:
			return creds, nil
		case ctx.Err() != nil:
			return aws.Credentials{}, ended(ctx, found.source, err)
		case errors.Is(err, errAbandoned):
			// This call joined a retrieval just as its last caller gave it up.
			continue
		}
		return aws.Credentials{}, typed(err, found.source)
	}
}

func (c *chain) shared(ctx context.Context) (aws.Credentials, error) {
	c.mu.Lock()
	c.callers++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.callers--; c.callers == 0 && c.abandon != nil {
			c.abandoned = true
			c.abandon()
		}
	}()
	return c.cache.Retrieve(ctx)
}

var errAbandoned = errors.New("nobody waits for these credentials any more")

// retrieval is the chain as its cache sees it: what runs in the cache's goroutine, out of which no panic may come.
type retrieval chain

var (
	_ aws.HandleFailRefreshCredentialsCacheStrategy = (*retrieval)(nil)
	_ aws.AdjustExpiresByCredentialsCacheStrategy   = (*retrieval)(nil)
)

// Retrieve asks the source. The cache hides the deadline of ctx, since callers with other deadlines share the answer.
func (r *retrieval) Retrieve(ctx context.Context) (creds aws.Credentials, err error) {
	defer recovered(&err)
	ctx, cancel := context.WithTimeout(ctx, maxRetrieval)
	defer cancel()

	r.mu.Lock()
	found := r.found
	r.abandoned = r.callers == 0
	if r.abandoned {
		r.mu.Unlock()
		return aws.Credentials{}, errAbandoned
	}
	r.abandon = cancel
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.abandon = nil
		if err != nil && r.abandoned {
			err = errAbandoned
		}
	}()

	creds, err = found.retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, typed(err, found.source)
	}
	if !creds.HasKeys() {
		return aws.Credentials{}, failure("IncompleteCredentials", nil, "%s answered without an access key or without a secret key: correct it there", found.source)
	}
	if creds.Expired() {
		if !found.outlive {
			return aws.Credentials{}, failure("ExpiredCredentials", nil, "%s gave credentials that ended at %s: renew them there, and check this machine's clock",
				found.source, creds.Expires.UTC().Format(time.RFC3339))
		}
		creds.Expires = outlived()
	}
	r.mu.Lock()
	r.expires = creds.Expires
	r.mu.Unlock()
	return creds, nil
}

// HandleFailToRefresh keeps credentials in use that have not really ended yet, and asks again within a minute.
func (r *retrieval) HandleFailToRefresh(_ context.Context, previous aws.Credentials, err error) (aws.Credentials, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !previous.HasKeys() || errors.Is(err, errAbandoned) {
		return aws.Credentials{}, err
	}
	now := time.Now()
	switch {
	case r.expires.After(now):
		previous.Expires = r.expires
		if again := now.Add(time.Minute); again.Before(r.expires) {
			previous.Expires = again
		}
	case r.found.outlive:
		previous.Expires = outlived()
	default:
		return aws.Credentials{}, err
	}
	return previous, nil
}

// outlived spreads the next try over 5 to 15 minutes.
// Source: aws-sdk-go-v2/credentials/ec2rolecreds HandleFailToRefresh.
func outlived() time.Time {
	return time.Now().Add(5*time.Minute + rand.N(10*time.Minute))
}

// AdjustExpiresBy takes at most half of what is left, so that credentials of a short life are not asked for on each request.
func (r *retrieval) AdjustExpiresBy(creds aws.Credentials, by time.Duration) (aws.Credentials, error) {
	if creds.CanExpire {
		creds.Expires = creds.Expires.Add(max(by, -time.Until(creds.Expires)/2))
	}
	return creds, nil
}

// recovered turns a panic into an error of Kind Internal whose cause holds the stack.
func recovered(err *error) {
	p := recover()
	if p == nil {
		return
	}
	// The value of a panic may be anything that was at hand, a secret too; the runtime's own texts hold none.
	text := fmt.Sprintf("%T", p)
	if e, ok := p.(runtime.Error); ok {
		text = e.Error()
	}
	*err = &awserr.Error{
		Kind: awserr.Internal, Code: "InternalError", Message: "a defect of glowplug while looking for credentials: please report it",
		Err: fmt.Errorf("panic: %s\n%s", text, debug.Stack()),
	}
}

// find goes through the sources in their order; the first that is configured is the one, broken or not.
//
// The order is that of aws-sdk-go-v2, and botocore's in all but a corner, so that a handler has the same identity as under
// boto3: web identity and a profile are somebody's choice, the container endpoint is there on every ECS task and EKS pod.
// Sources: aws-sdk-go-v2/config resolve_credentials.go; botocore/credentials.py create_credential_resolver.
func (c *chain) find() (*source, error) {
	if c.arguments.AccessKeyID != "" {
		return &source{source: "arguments", fixed: &c.arguments}, nil
	}
	type step struct {
		looked string // at what, for the sentence when nothing was found
		find   func() (*source, error)
	}
	order := []step{
		{"the environment (AWS_ACCESS_KEY_ID)", c.environment},
		{"web identity (AWS_WEB_IDENTITY_TOKEN_FILE)", c.environmentWebIdentity},
		{"profile " + fmt.Sprintf("%q", c.resolver.name) + " in " + c.resolver.files.places(), c.profile},
		{"the container endpoint (AWS_CONTAINER_CREDENTIALS_FULL_URI)", c.container},
	}
	if c.resolver.argument {
		// As in boto3, a profile that the caller names goes before what the environment happens to hold.
		order = order[2:]
	}
	c.looked = []string{"the arguments"}
	for _, s := range order {
		found, err := s.find()
		if found != nil || err != nil {
			return found, err
		}
		c.looked = append(c.looked, s.looked)
	}
	if off, err := c.ec2Off(); err != nil || off != "" {
		return nil, cmp.Or(err, c.nothing("EC2 metadata ("+off+")", nil))
	}
	return c.ec2()
}

// nothing is the error for "none found": where was looked, and what to do.
func (c *chain) nothing(last string, cause error) error {
	hint := "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile that has credentials, or give them as arguments"
	env := c.resolver.env
	switch {
	case c.resolver.argument && env["AWS_ACCESS_KEY_ID"] != "":
		hint = "the environment has credentials, which the argument profile rules out: leave that argument away to use them"
	case env["AWS_SECRET_ACCESS_KEY"] != "" && env["AWS_ACCESS_KEY_ID"] == "":
		hint = "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not: set both"
	}
	return failure("NoCredentials", cause, "no AWS credentials found in %s; %s", strings.Join(c.looked, ", ")+", "+last, hint)
}

func failure(code string, cause error, format string, args ...any) error {
	return &awserr.Error{Kind: awserr.Credentials, Code: code, Message: fmt.Sprintf(format, args...), Err: cause}
}

// ended is the error of a caller whose context was over first.
func ended(ctx context.Context, where string, err error) error {
	e := &awserr.Error{Kind: awserr.Timeout, Code: "CredentialsTimeout", Retryable: true, Err: ctx.Err(),
		Message: where + " gave no credentials before the deadline: raise the time-out, or see why it is slow"}
	if errors.Is(ctx.Err(), context.Canceled) {
		e.Kind, e.Code, e.Retryable = awserr.Cancelled, "", false
		e.Message = "the call was cancelled while it waited for credentials from " + where
	}
	var already *awserr.Error
	if errors.As(err, &already) && already.Kind == e.Kind {
		return already
	}
	return e
}

// typed finds our own error in what the SDK wrapped around it.
func typed(err error, where string) error {
	var e *awserr.Error
	if errors.As(err, &e) && e.Code != "" {
		return e
	}
	if errors.Is(err, errAbandoned) {
		return err
	}
	return failure("CredentialsError", cause(err), "%s gave no credentials: see the cause", where)
}
