package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/buckets"
)

// operation is the answer to one operation of S3's API as the drop-in client
// shapes it: what came over HTTP, and the result where it was a success.
type operation struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"` // names in lower case
	Retries int64             `json:"retries"`
	// Exhausted: more retries would have followed, had there been attempts left.
	Exhausted bool   `json:"exhausted,omitempty"`
	Body      string `json:"body,omitempty"` // of a refusal
	// Kind and Retryable of the error that a refusal is.
	Kind      awserr.Kind `json:"kind,omitempty"`
	Retryable bool        `json:"retryable,omitempty"`
	Result    any         `json:"result,omitempty"`
}

type listResult struct {
	Buckets           [][3]*string `json:"buckets"` // name, date, region
	Owner             *owner       `json:"owner,omitempty"`
	ContinuationToken *string      `json:"token,omitempty"`
	Prefix            *string      `json:"prefix,omitempty"`
}

type owner struct {
	ID          *string `json:"id,omitempty"`
	DisplayName *string `json:"name,omitempty"`
}

type headResult struct {
	BucketArn        *string `json:"arn,omitempty"`
	BucketRegion     *string `json:"region,omitempty"`
	AccessPointAlias *bool   `json:"alias,omitempty"`
	LocationType     string  `json:"location_type,omitempty"`
	LocationName     *string `json:"location_name,omitempty"`
}

// operate sends one request of S3's API, with its retries. An answer of S3, also
// a refusal, is a result here; an error is that there was none.
func operate(ctx context.Context, c *client, o callOptions, _ func(string) bool) (string, error) {
	var mu sync.Mutex
	var answer operation
	seen := buckets.Observed(ctx)
	seen.Answer = func(head *http.Response, body []byte) {
		mu.Lock()
		defer mu.Unlock()
		answer.Status, answer.Body = head.StatusCode, string(body)
		answer.Headers = make(map[string]string, len(head.Header))
		for name, values := range head.Header {
			answer.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
		}
		// What net/http takes out of the head, having acted on it.
		if len(head.TransferEncoding) > 0 {
			answer.Headers["transfer-encoding"] = strings.Join(head.TransferEncoding, ", ")
		}
		if head.Close && head.ProtoAtLeast(1, 1) {
			answer.Headers["connection"] = "close"
		}
	}
	result, err := send(ctx, c.lister.API(), o.verb, o.input)
	var again int64
	mu.Lock()
	body := answer.Body
	mu.Unlock()
	if region := regionToAsk(o.verb, body, err); region != "" {
		again = 1
		result, err = send(ctx, c.lister.API(), o.verb, o.input, func(o *s3.Options) { o.Region = region })
	}
	mu.Lock()
	defer mu.Unlock()
	if err != nil {
		_, answer.Exhausted = errors.AsType[*retry.MaxAttemptsError](err)
		failed := buckets.Classify(ctx, o.verb, o.input["Bucket"], err)
		if failed.Status < 300 || answer.Status < 300 {
			return "", failed
		}
		answer.Kind, answer.Retryable = failed.Kind, failed.Retryable
	}
	answer.Result, answer.Retries = result, seen.Stats().Retries+again
	text, err := json.Marshal(answer)
	return "D" + string(text), err
}

// regionToAsk is where boto3 sends a refused request again: the region that the
// refusal names. At an endpoint of the caller's own, that region only signs.
// Source: botocore.utils.S3RegionRedirectorv2.redirect_from_error
func regionToAsk(verb, body string, err error) string {
	var refused smithy.APIError
	var answer *smithyhttp.ResponseError
	if verb == "ListBuckets" || !errors.As(err, &refused) || !errors.As(err, &answer) {
		return ""
	}
	switch status := answer.HTTPStatusCode(); {
	case status == 301, status == 302, status == 307:
	case verb == "HeadBucket" && status == 400: // a HEAD has no body to say more
	default:
		switch refused.ErrorCode() {
		case "AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException":
		default:
			return ""
		}
	}
	if region := buckets.RegionOf(err); region != "" {
		return region
	}
	_, rest, _ := strings.Cut(body, "<Region>")
	region, _, _ := strings.Cut(rest, "</Region>")
	if len(region) > 63 || strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return ""
	}
	return region
}

// describe tells the endpoint and the region of a client.
func describe(_ context.Context, c *client, _ callOptions, _ func(string) bool) (string, error) {
	endpoint, region := c.lister.Endpoint()
	return "D" + endpoint + unit + region, nil
}

func send(ctx context.Context, api buckets.API, verb string, input map[string]string, options ...func(*s3.Options)) (any, error) {
	value := func(name string) *string {
		if v, ok := input[name]; ok {
			return &v
		}
		return nil
	}
	switch verb {
	case "HeadBucket":
		out, err := api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: value("Bucket"), ExpectedBucketOwner: value("ExpectedBucketOwner")}, options...)
		if err != nil {
			return nil, err
		}
		return headResult{out.BucketArn, out.BucketRegion, out.AccessPointAlias, string(out.BucketLocationType), out.BucketLocationName}, nil
	case "GetBucketLocation":
		out, err := api.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: value("Bucket"), ExpectedBucketOwner: value("ExpectedBucketOwner")}, options...)
		if err != nil {
			return nil, err
		}
		return string(out.LocationConstraint), nil
	}
	in := &s3.ListBucketsInput{Prefix: value("Prefix"), BucketRegion: value("BucketRegion"), ContinuationToken: value("ContinuationToken")}
	if v, ok := input["MaxBuckets"]; ok {
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil {
			return nil, invalid("InvalidArgument", "MaxBuckets=%.40s: give a whole number", v)
		}
		in.MaxBuckets = aws.Int32(int32(n))
	}
	out, err := api.ListBuckets(ctx, in, options...)
	if err != nil {
		return nil, err
	}
	r := listResult{Buckets: make([][3]*string, len(out.Buckets)), ContinuationToken: out.ContinuationToken, Prefix: out.Prefix}
	for i, b := range out.Buckets {
		r.Buckets[i] = [3]*string{b.Name, nil, b.BucketRegion}
		if b.CreationDate != nil {
			created := string(appendTime(nil, b.CreationDate.UTC()))
			r.Buckets[i][1] = &created
		}
	}
	if out.Owner != nil {
		r.Owner = &owner{out.Owner.ID, out.Owner.DisplayName}
	}
	return r, nil
}
