// Package awserr is the error taxonomy that every glowplug system answers with.
//
// An [Error] says what went wrong in fields, so that no caller parses text. Its
// [Kind] is itself an error, for errors.Is:
//
//	if errors.Is(err, awserr.Throttled) { ... }
//
//	var e *awserr.Error
//	if errors.As(err, &e) { log.Print(e.Code, e.RequestID) }
package awserr

import (
	"strconv"
	"strings"
)

// Kind is the cause of an error, as far as a caller can act on it.
type Kind string

// The kinds. Each says who has to act.
const (
	Invalid     Kind = "invalid"     // an argument or a setting is not usable: correct it
	Credentials Kind = "credentials" // none found, unknown, wrong or expired: supply others
	Denied      Kind = "denied"      // known caller, action not allowed: change the policy
	NotFound    Kind = "not_found"   // what was named does not exist
	Throttled   Kind = "throttled"   // the service asks for fewer requests
	Timeout     Kind = "timeout"     // the deadline of the call passed
	Cancelled   Kind = "cancelled"   // the caller gave up
	Connection  Kind = "connection"  // DNS, TCP, proxy or TLS
	Service     Kind = "service"     // the service refused or failed in another way
	Response    Kind = "response"    // the answer can't be read: no XML, cut short, too large
	Internal    Kind = "internal"    // a defect of glowplug
)

// Error implements error, so that a Kind can be the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// Error is what a failed operation answers with. It implements smithy's
// ErrorCode and ErrorMessage and unwraps to its cause.
type Error struct {
	Kind      Kind
	Code      string // the service's code ("AccessDenied") or ours ("NoCredentials"); may be empty
	Message   string // one sentence, with what to do where we know it; never a secret
	Status    int    // HTTP status; 0 when there was no answer
	RequestID string // x-amz-request-id; may be empty
	Operation string // "ListBuckets"; may be empty
	Bucket    string // may be empty
	Retryable bool   // whether the same call may succeed later, unchanged
	Err       error  // the cause; may be nil
}

var _ error = (*Error)(nil)

// Error says operation, bucket, code, status and message in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Operation != "" {
		b.WriteString(e.Operation)
		if e.Bucket != "" {
			b.WriteString(" " + strconv.Quote(e.Bucket))
		}
		b.WriteString(": ")
	}
	if e.Code != "" {
		b.WriteString(e.Code)
		if e.Status != 0 {
			b.WriteString(" (HTTP " + strconv.Itoa(e.Status) + ")")
		}
		b.WriteString(": ")
	}
	if e.Message != "" {
		b.WriteString(e.Message)
	} else {
		b.WriteString(string(e.Kind))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's Kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// ErrorCode returns Code.
func (e *Error) ErrorCode() string { return e.Code }

// ErrorMessage returns Message.
func (e *Error) ErrorMessage() string { return e.Message }
