package buckets

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/transport"
	"github.com/glowplug/glowplug/gomod/internal/listxml"
)

// Error is the error of every operation here; see package awserr.
type Error = awserr.Error

// codes tells the kind of the codes that S3 answers with.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
var codes = map[string]awserr.Kind{
	"AccessDenied":                awserr.Denied,
	"AccountProblem":              awserr.Denied,
	"AllAccessDisabled":           awserr.Denied,
	"MethodNotAllowed":            awserr.Denied,
	"UnauthorizedAccess":          awserr.Denied,
	"ExpiredToken":                awserr.Credentials,
	"InvalidAccessKeyId":          awserr.Credentials,
	"InvalidClientTokenId":        awserr.Credentials,
	"InvalidSecurity":             awserr.Credentials,
	"InvalidToken":                awserr.Credentials,
	"MissingSecurityHeader":       awserr.Credentials,
	"NotSignedUp":                 awserr.Credentials,
	"RequestTimeTooSkewed":        awserr.Credentials,
	"SignatureDoesNotMatch":       awserr.Credentials,
	"TokenRefreshRequired":        awserr.Credentials,
	"UnrecognizedClientException": awserr.Credentials,
	"NoSuchBucket":                awserr.NotFound,
	"XAdminUserNotFound":          awserr.Credentials, // versitygw, with status 404
	"NotFound":                    awserr.NotFound,
	"BandwidthLimitExceeded":      awserr.Throttled,
	"RequestLimitExceeded":        awserr.Throttled,
	"SlowDown":                    awserr.Throttled,
	"Throttling":                  awserr.Throttled,
	"ThrottlingException":         awserr.Throttled,
	"TooManyRequests":             awserr.Throttled,
	"InvalidArgument":             awserr.Invalid,
	"InvalidBucketName":           awserr.Invalid,
	"InvalidRequest":              awserr.Invalid,
	"InvalidURI":                  awserr.Invalid,
}

// advice says what to do where S3's own message does not.
var advice = map[string]string{
	"AccessDenied":          "allow s3:ListAllMyBuckets (and s3:ListBucket, s3:GetBucketLocation for look-ups) in the caller's policy",
	"ExpiredToken":          "get fresh credentials",
	"InvalidAccessKeyId":    "check the access key id and the endpoint",
	"RequestTimeTooSkewed":  "set this machine's clock",
	"SignatureDoesNotMatch": "check the secret access key and the region",
}

// classify gives err the form that callers act on.
func classify(ctx context.Context, operation, bucket string, err error) *Error {
	var ours *Error
	if errors.As(err, &ours) {
		e := *ours
		if e.Operation == "" {
			e.Operation, e.Bucket = operation, bucket
		}
		return &e
	}
	e := &Error{Kind: awserr.Service, Operation: operation, Bucket: bucket, Err: err}
	if cause := context.Cause(ctx); cause != nil {
		return ended(e, cause)
	}

	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil {
		e.Status = answer.HTTPStatusCode()
		e.RequestID = answer.Response.Header.Get("X-Amz-Request-Id")
	}
	var refused smithy.APIError
	var broken *smithy.DeserializationError
	network, isNetwork := transport.Classify(err)
	switch {
	case errors.As(err, &refused):
		e.Code, e.Message = refused.ErrorCode(), refused.ErrorMessage()
		refusal(e)
	case isNetwork:
		network.Operation, network.Bucket = operation, bucket
		return network
	case e.Status >= 300:
		// The body is no error of S3's: a load balancer or a proxy answered. The status still counts.
		refusal(e)
	case errors.Is(err, listxml.ErrTooLarge):
		e.Kind, e.Code, e.Message = awserr.Response, "ResponseTooLarge", unwrapped(err, listxml.ErrTooLarge)+": is the endpoint an S3 endpoint? If so, list by prefix"
	case errors.Is(err, listxml.ErrSyntax):
		e.Kind, e.Code, e.Message = awserr.Response, "MalformedResponse", unwrapped(err, listxml.ErrSyntax)+": is the endpoint an S3 endpoint?"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Kind, e.Code, e.Message, e.Retryable = awserr.Connection, "IncompleteBody", "the answer was cut short", true
	case errors.As(err, &broken):
		e.Kind, e.Code, e.Message = awserr.Response, "MalformedResponse", "the answer is no XML that S3 sends: is the endpoint an S3 endpoint?"
	default:
		e.Kind, e.Message = awserr.Internal, "unexpected: "+err.Error()
	}
	return e
}

// unwrapped is the text of err from the sentinel on: the SDK's wrapping says nothing to a caller.
func unwrapped(err, sentinel error) string {
	text := err.Error()
	if i := strings.Index(text, sentinel.Error()); i >= 0 {
		return text[i:]
	}
	return text
}

func ended(e *Error, cause error) *Error {
	var ours *Error
	switch {
	case errors.As(cause, &ours):
		copied := *ours
		if copied.Operation == "" {
			copied.Operation, copied.Bucket = e.Operation, e.Bucket
		}
		return &copied
	case errors.Is(cause, context.DeadlineExceeded):
		e.Kind, e.Code, e.Retryable = awserr.Timeout, "DeadlineExceeded", true
		e.Message = "the call's time-out passed before the answer was whole"
	default:
		e.Kind, e.Code, e.Message = awserr.Cancelled, "Cancelled", "the call was cancelled"
	}
	e.Err = errors.Join(cause, e.Err)
	return e
}

// refusal classifies an answer of the service by its code, else by its status.
func refusal(e *Error) {
	kind, known := codes[e.Code]
	// A HEAD has no body: the SDK makes up a code from the status.
	if !known {
		switch {
		case e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable:
			kind = awserr.Throttled
		case e.Status == http.StatusUnauthorized:
			kind = awserr.Credentials
		case e.Status == http.StatusForbidden:
			kind = awserr.Denied
		case e.Status == http.StatusNotFound:
			kind = awserr.NotFound
		case e.Status >= 300 && e.Status < 400:
			kind = awserr.Service
			e.Message = "the endpoint answers with a redirect, which is not followed: use the endpoint and the region of the bucket"
		case e.Status >= 500:
			kind = awserr.Service
			e.Retryable = e.Status != http.StatusNotImplemented
		default:
			kind = awserr.Service
		}
	}
	e.Kind = kind
	if kind == awserr.Throttled || e.Code == "InternalError" {
		e.Retryable = true
	}
	if text := strings.ToLower(http.StatusText(e.Status)); e.Message == "" || e.Message == e.Code || e.Message == "UnknownError" {
		e.Message = "the endpoint answered HTTP " + strconv.Itoa(e.Status) + " without S3's reason"
		if text != "" {
			e.Message += " (" + text + ")"
		}
	}
	if hint, ok := advice[e.Code]; ok {
		e.Message = strings.TrimRight(e.Message, ". ") + ": " + hint
	}
}
