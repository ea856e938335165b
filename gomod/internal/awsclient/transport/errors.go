package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/glowplug/glowplug/gomod/awserr"
)

// failure is what Do, a body's Read and Preconnect fail with, unless the caller's context is done.
type failure struct {
	addr  string // host:port of the request
	proxy string // host of the proxy, or empty
	err   error
}

var _ net.Error = (*failure)(nil)

func (f *failure) Error() string { return f.class().Error() }
func (f *failure) Unwrap() error { return f.err }

// Timeout reports whether the server was silent for too long.
func (f *failure) Timeout() bool { return f.class().Kind == awserr.Timeout }

// Temporary is RetryableError, for net.Error.
func (f *failure) Temporary() bool { return f.RetryableError() }

// RetryableError is what the retryer of aws-sdk-go-v2 asks for (aws/retry.RetryableError).
func (f *failure) RetryableError() bool { return f.class().Retryable }

func (f *failure) class() *awserr.Error {
	e, ok := describe(f.err, f.addr)
	if !ok {
		e = connection("ConnectionFailed", true, "the request to "+f.addr+" failed: "+f.err.Error())
	}
	if f.proxy != "" && e.Kind != awserr.Invalid && !strings.Contains(e.Message, f.proxy) {
		e.Message += " (through the proxy " + f.proxy + ")"
	}
	return e
}

// timeout is a time-out of ours. It has no cause: one of package net would pass
// for context.DeadlineExceeded, that is, for the caller's.
type timeout struct {
	code  string // AttemptTimeout or ConnectTimeout
	addr  string
	after time.Duration
}

func (t *timeout) Error() string   { return t.code + " after " + t.after.String() + ": " + t.addr }
func (t *timeout) Timeout() bool   { return true }
func (t *timeout) Temporary() bool { return true }

// connectError names where a connection could not be opened.
type connectError struct {
	addr string
	err  error
}

func (e *connectError) Error() string { return "connect to " + e.addr + ": " + e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// proxyRefusal is a proxy's answer to CONNECT other than 200.
type proxyRefusal struct {
	proxy  string
	status int
}

func (e *proxyRefusal) Error() string {
	return "the proxy " + e.proxy + " answered CONNECT with HTTP " + strconv.Itoa(e.status)
}

// Classify says what a failed request means, if err comes from a [Client] or,
// as far as errors of net, crypto/tls, crypto/x509 and net/http tell, from
// another HTTP client. The Error is a new one around err, with Kind, Code, a
// Message that names host:port and what to do, and Retryable. The codes:
//
//   - kind Timeout: ConnectTimeout, AttemptTimeout
//   - kind Connection, DNS and TCP: HostNotFound, HostLookupFailed, ConnectionRefused,
//     ConnectionReset, NetworkUnreachable, EOF, ConnectionFailed
//   - kind Connection, TLS: CertificateNotTrusted, CertificateHostMismatch, CertificateExpired,
//     CertificateInvalid, NotTLS, TLSVersion, TLSFailed
//   - kind Connection, proxies: ProxyRefused (its answer to CONNECT), ProxyUnreachable
//   - kind Connection, Options.LoopbackOnly: Offline
//   - kind Response: NotHTTP, HeaderTooLarge
//
// An [awserr.Error] in err's chain, such as an Internal one with the stack of a
// panic, is copied. It reports false for all else, the caller's own context included.
func Classify(err error) (*awserr.Error, bool) {
	if err == nil {
		return nil, false
	}
	var e *awserr.Error
	ok := true
	if f, is := errors.AsType[*failure](err); is {
		e = f.class()
	} else {
		e, ok = describe(err, "the server")
	}
	if !ok {
		return nil, false
	}
	e.Err = err
	return e, true
}

func connection(code string, retryable bool, message string) *awserr.Error {
	return &awserr.Error{Kind: awserr.Connection, Code: code, Retryable: retryable, Message: message}
}

// describe is Classify for an error of a request to addr.
func describe(err error, addr string) (*awserr.Error, bool) {
	if e, ok := errors.AsType[*awserr.Error](err); ok {
		e := *e
		return &e, true
	}
	if e, ok := errors.AsType[*connectError](err); ok {
		addr = e.addr
	}
	for _, d := range [...]func(error, string) *awserr.Error{describeTimeout, describeProxy, describeCertificate, describeTLS, describeNet, describeHTTP} {
		if e := d(err, addr); e != nil {
			return e, true
		}
	}
	return nil, false
}

func describeTimeout(err error, _ string) *awserr.Error {
	t, ok := errors.AsType[*timeout](err)
	if !ok {
		return nil
	}
	message := t.addr + " sent nothing for " + t.after.String() + ": call again, or raise attempt_timeout if it needs longer"
	if t.code == "ConnectTimeout" {
		message = "no connection to " + t.addr + " within " + t.after.String() +
			": check endpoint, security group, route or VPC endpoint, or raise connect_timeout"
	}
	return &awserr.Error{Kind: awserr.Timeout, Code: t.code, Retryable: true, Message: message}
}

func describeProxy(err error, _ string) *awserr.Error {
	if p, ok := errors.AsType[*proxyRefusal](err); ok {
		todo := ": check that it may connect there"
		if p.status == http.StatusProxyAuthRequired {
			todo = ": give its user and password in HTTPS_PROXY"
		}
		return connection("ProxyRefused", p.status >= 500, p.Error()+todo)
	}
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "proxyconnect" {
		return nil
	}
	message, retryable := op.Err.Error(), true
	if e, ok := describe(op.Err, "the proxy"); ok {
		message, retryable = e.Message, e.Retryable
	}
	return connection("ProxyUnreachable", retryable, "the proxy can't be used, correct HTTPS_PROXY or HTTP_PROXY: "+message)
}

func describeCertificate(err error, addr string) *awserr.Error {
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return connection("CertificateHostMismatch", false, "the certificate of "+addr+" is for another host ("+e.Error()+
			"): correct the endpoint; a bucket name with dots needs addressing_style \"path\"")
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired {
			return connection("CertificateExpired", false, "the certificate of "+addr+
				" has expired or is not valid yet: renew it, or correct this machine's clock")
		}
		return connection("CertificateInvalid", false, "the certificate of "+addr+" is not acceptable ("+e.Error()+"): replace it")
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return connection("CertificateNotTrusted", false, "the certificate of "+addr+
			" is signed by an authority that is not trusted: set ca_bundle, AWS_CA_BUNDLE or SSL_CERT_FILE to a PEM file with its root")
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return connection("CertificateInvalid", false, "the certificate of "+addr+" is not acceptable ("+e.Err.Error()+"): replace it")
	}
	return nil
}

func describeTLS(err error, addr string) *awserr.Error {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return connection("NotTLS", false, addr+" does not speak TLS: use http:// in the endpoint, or the port of its https")
	}
	// Alerts of crypto/tls have no exported type outside QUIC.
	text := err.Error()
	if !strings.Contains(text, "tls: ") {
		return nil
	}
	if strings.Contains(text, "protocol version") {
		return connection("TLSVersion", false, addr+" offers no TLS 1.2 or later: upgrade it")
	}
	return connection("TLSFailed", false, "the TLS handshake with "+addr+" failed ("+text+"): check its TLS settings")
}

func describeNet(err error, addr string) *awserr.Error {
	if d, ok := errors.AsType[*net.DNSError](err); ok {
		if d.IsNotFound {
			return connection("HostNotFound", false, "the host of "+addr+" does not exist: correct region or endpoint")
		}
		return connection("HostLookupFailed", true, "the name of "+addr+" could not be looked up: check DNS, or call again")
	}
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case is(syscall.ECONNREFUSED):
		return connection("ConnectionRefused", true, addr+" refused the connection: check that the endpoint is right and its server runs")
	case is(syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, syscall.ETIMEDOUT, net.ErrClosed):
		return connection("ConnectionReset", true, "the connection to "+addr+" broke: call again")
	case is(syscall.ENETUNREACH, syscall.EHOSTUNREACH):
		return connection("NetworkUnreachable", true, "there is no route to "+addr+": check subnet, route table or VPC endpoint")
	case is(io.EOF, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "server closed idle connection"):
		return connection("EOF", true, addr+" closed the connection before its answer was complete: call again")
	case is(context.Canceled) || !isOp && is(context.DeadlineExceeded):
		return nil
	case isOp && !op.Timeout():
		return connection("ConnectionFailed", true, "the connection to "+addr+" failed ("+op.Err.Error()+"): call again")
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return &awserr.Error{
			Kind: awserr.Timeout, Code: "AttemptTimeout", Retryable: true,
			Message: addr + " sent nothing for too long: call again, or raise attempt_timeout",
		}
	}
	return nil
}

func describeHTTP(err error, addr string) *awserr.Error {
	text := err.Error()
	switch {
	case strings.Contains(text, "malformed HTTP"), strings.Contains(text, "malformed MIME header"):
		return &awserr.Error{
			Kind: awserr.Response, Code: "NotHTTP",
			Message: addr + " does not answer in HTTP: check scheme and port of the endpoint",
		}
	case strings.Contains(text, "server response headers exceeded"):
		return &awserr.Error{
			Kind: awserr.Response, Code: "HeaderTooLarge",
			Message: addr + " answered with a header of more than 256 KiB: check that it is an S3 endpoint",
		}
	}
	return nil
}
