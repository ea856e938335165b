package buckets

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/glowplug/glowplug/gomod/awserr"
)

// The pause before the nth retry is drawn from 0 to base x 2^(n-1), at most pauseCap.
// Source of full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
const (
	pauseBase     = 25 * time.Millisecond
	throttledBase = 200 * time.Millisecond
	pauseCap      = 5 * time.Second
	// retryBudget is the SDK's own: 500 tokens for the client, five a retry, given back by success.
	retryBudget = 500
)

// retryer is the SDK's standard retryer with full jitter, a budget, a stop at
// the deadline, and a report of each attempt to the gate.
type retryer struct {
	*retry.Standard
	gate *gate
}

var _ aws.RetryerV2 = (*retryer)(nil)

func newRetryer(attempts int, g *gate) *retryer {
	return &retryer{gate: g, Standard: retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.RateLimiter = ratelimit.NewTokenRateLimit(retryBudget)
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, err error) (time.Duration, error) {
			return pause(attempt, throttled(err)), nil
		})
	})}
}

func pause(attempt int, throttled bool) time.Duration {
	base := pauseBase
	if throttled {
		base = throttledBase
	}
	return rand.N(min(pauseCap, base<<min(max(attempt-1, 0), 10)))
}

func throttled(err error) bool {
	return err != nil && classify(context.Background(), "", "", err).Kind == awserr.Throttled
}

// IsErrorRetryable knows better than the SDK where a connection failed for good
// (a certificate, a host that does not exist), a body was cut short, or a load
// balancer answered in S3's place. The SDK still decides on refusals by code.
func (r *retryer) IsErrorRetryable(err error) bool {
	switch e := classify(context.Background(), "", "", err); e.Kind {
	case awserr.Connection, awserr.Timeout, awserr.Throttled, awserr.Response, awserr.Internal:
		return e.Retryable
	case awserr.Service:
		return e.Retryable || r.Standard.IsErrorRetryable(err)
	default:
		return r.Standard.IsErrorRetryable(err)
	}
}

// GetAttemptToken hands out a token whose release tells the gate how the attempt ended.
func (r *retryer) GetAttemptToken(ctx context.Context) (func(error) error, error) {
	release, err := r.Standard.GetAttemptToken(ctx)
	if err != nil {
		return nil, err
	}
	return func(err error) error {
		if err == nil || ctx.Err() == nil {
			r.gate.observe(throttled(err))
		}
		return release(err)
	}, nil
}

var errTooLate = errors.New("no time is left for another attempt")

// GetRetryToken refuses a retry that the deadline would cut off, so that the
// caller learns the server's answer and not that time passed.
func (r *retryer) GetRetryToken(ctx context.Context, err error) (func(error) error, error) {
	if deadline, ok := ctx.Deadline(); ok {
		least := pauseBase
		if throttled(err) {
			least = throttledBase
		}
		if time.Until(deadline) < least {
			return nil, errTooLate
		}
	}
	release, refused := r.Standard.GetRetryToken(ctx, err)
	if refused == nil {
		c := Observed(ctx)
		c.retries.Add(1)
		if c.Log != nil {
			c.logf("retrying after: %v", classify(context.Background(), "", "", err))
		}
	}
	return release, refused
}
