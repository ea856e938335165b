package awsclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/transport"
)

// maxServerText bounds what a server's own words may take in a message; STS's longest need about 300.
const maxServerText = 500

// hideText marks an error whose server's words may repeat a secret that we don't know; only its code is shown then.
type hideText struct{ error }

func (h hideText) Unwrap() error { return h.error }

// refused is the error of a source that was asked and gave nothing. An error of ours inside (the source of a role that failed)
// is the better one and is returned as it is. What hide holds is cut out of the server's words.
func refused(code string, err error, hide []string, what, advice string) error {
	if ours, ok := errors.AsType[*awserr.Error](err); ok {
		switch ours.Kind {
		case awserr.Credentials, awserr.Invalid, awserr.Internal:
			return ours
		}
	}
	if e := offline(err); e != nil {
		return e
	}
	known := cause(err, hide...)
	e := &awserr.Error{Kind: awserr.Credentials, Code: code, Message: what + because(known) + ": " + advice, Err: known, Status: httpStatus(err)}
	var request interface{ ServiceRequestID() string }
	if errors.As(err, &request) {
		e.RequestID = request.ServiceRequestID()
	}
	e.Retryable = e.Status >= 500 || e.Status == http.StatusTooManyRequests
	if network, ok := errors.AsType[*awserr.Error](known); ok {
		e.Retryable = network.Retryable
	}
	return e
}

// because gives a cause its place in a sentence.
func because(known error) string {
	if _, unknown := errors.AsType[unnamed](known); unknown || known == nil {
		return ""
	}
	return " (" + known.Error() + ")"
}

// unnamed stands for an error whose text may quote what it failed on.
type unnamed string

func (u unnamed) Error() string { return string(u) }

// cause keeps of an error what a caller can ask with errors.As and what is known to quote no token and no output: the
// service's code, and the errors of the network, of TLS, of files and of processes.
func cause(err error, hide ...string) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() != "" {
		answer := &smithy.GenericAPIError{Code: clean(api.ErrorCode(), hide), Fault: api.ErrorFault()}
		var hidden hideText
		if !errors.As(err, &hidden) {
			answer.Message = clean(api.ErrorMessage(), hide)
		}
		return answer
	}
	quotable := leaf(err)
	if unanswered(err) {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, whose query may hold a token
		}
		if e, ok := transport.Classify(err); ok {
			e.Err = quotable
			return e
		}
	}
	if quotable != nil {
		return quotable
	}
	if status := httpStatus(err); status != 0 {
		return fmt.Errorf("HTTP status %d", status)
	}
	return unnamed(fmt.Sprintf("an error of type %T, whose text is not shown because it may hold a secret", err))
}

// leaf finds an error whose text quotes neither a token nor any output; nil for none.
func leaf(err error) error {
	for _, known := range []func(error) error{
		as[*net.OpError], as[*net.DNSError], as[*fs.PathError], as[*exec.ExitError], as[*exec.Error],
		as[*tls.CertificateVerificationError], as[x509.UnknownAuthorityError], as[x509.HostnameError], as[x509.CertificateInvalidError],
		is(errTooLarge), is(exec.ErrWaitDelay), is(context.DeadlineExceeded), is(context.Canceled), is(io.ErrUnexpectedEOF), is(io.EOF),
	} {
		if found := known(err); found != nil {
			return found
		}
	}
	return nil
}

func as[E error](err error) error {
	if found, ok := errors.AsType[E](err); ok {
		return found
	}
	return nil
}

func is(target error) func(error) error {
	return func(err error) error {
		if errors.Is(err, target) {
			return target
		}
		return nil
	}
}

// clean makes one bounded line without secrets of a server's words.
func clean(text string, hide []string) string {
	for _, secret := range hide {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[hidden]")
		}
	}
	text = strings.Join(strings.FieldsFunc(text, func(c rune) bool { return c <= ' ' || c == 0x7f }), " ")
	if len(text) > maxServerText {
		text = strings.ToValidUTF8(text[:maxServerText], "") + "..."
	}
	return text
}
