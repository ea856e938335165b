package truststore

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"hash/maphash"
	"slices"
	"sync/atomic"
)

// root is one certificate of a bundle, not decoded before it is asked for.
type root struct {
	subject uint64 // hash of the raw subject
	base64  []byte // the body of its PEM block, or
	der     []byte // what encoding/pem made of an unusual block
	parsed  atomic.Pointer[x509.Certificate]
}

// certificate parses r at its first call. It is nil when r holds no certificate.
func (r *root) certificate() *x509.Certificate {
	if c := r.parsed.Load(); c != nil {
		return c
	}
	der := r.der
	if der == nil {
		der = make([]byte, base64.StdEncoding.DecodedLen(len(r.base64)))
		n, err := base64.StdEncoding.Decode(der, r.base64)
		if err != nil {
			return nil
		}
		der = der[:n]
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	r.parsed.Store(c)
	return c
}

// index appends every block of data that may be a certificate. It keeps data.
func index(roots []root, data []byte) []root {
	roots = slices.Grow(roots, 1+len(data)/1400) // public roots take 1.5 kB each
	for {
		if body, rest, ok := cutPlain(data); ok {
			data = rest
			if subject, ok := plainSubject(body); ok {
				roots = append(roots, root{subject: subject, base64: body})
			}
			continue
		}
		block, rest := pem.Decode(data)
		if block == nil {
			return roots
		}
		data = rest
		if block.Type != "CERTIFICATE" || len(block.Headers) != 0 {
			continue
		}
		if subject, ok := rawSubject(block.Bytes); ok {
			roots = append(roots, root{subject: maphash.Bytes(seed, subject), der: block.Bytes})
		}
	}
}

// holdsCertificate reports whether any of roots is one; it parses up to the first that is.
func holdsCertificate(roots []root) bool {
	for i := range roots {
		if roots[i].certificate() != nil {
			return true
		}
	}
	return false
}

var (
	anyBegin  = []byte("-----BEGIN ")
	certBegin = []byte("-----BEGIN CERTIFICATE-----")
	certEnd   = []byte("-----END CERTIFICATE-----")
)

// cutPlain returns the base64 body of the first PEM block of data and what
// follows, if that block is a certificate written in the usual way: no headers,
// nothing but line ends after its markers, no dash in its body. For all else,
// encoding/pem has to judge.
func cutPlain(data []byte) (body, rest []byte, ok bool) {
	i := bytes.Index(data, anyBegin)
	if i < 0 || i > 0 && data[i-1] != '\n' || !bytes.HasPrefix(data[i:], certBegin) {
		return nil, nil, false
	}
	body, ok = cutLineEnd(data[i+len(certBegin):])
	if !ok {
		return nil, nil, false
	}
	i = bytes.IndexByte(body, '-')
	if i < 1 || body[i-1] != '\n' || !bytes.HasPrefix(body[i:], certEnd) {
		return nil, nil, false
	}
	rest = body[i+len(certEnd):]
	if len(rest) > 0 {
		if rest, ok = cutLineEnd(rest); !ok {
			return nil, nil, false
		}
	}
	body = body[:i]
	// A colon marks a header; base64 decoding refuses a blank, which encoding/pem strips.
	if bytes.IndexByte(body, ':') >= 0 || bytes.IndexByte(body, ' ') >= 0 || bytes.IndexByte(body, '\t') >= 0 {
		return nil, nil, false
	}
	return body, rest, true
}

func cutLineEnd(data []byte) (rest []byte, ok bool) {
	data = bytes.TrimPrefix(data, []byte("\r"))
	return bytes.CutPrefix(data, []byte("\n"))
}

// plainSubject hashes the subject of the certificate in a PEM body, of which it
// decodes the beginning only.
func plainSubject(body []byte) (uint64, bool) {
	const enough = 600 // characters; the subject of most roots ends before
	var buf [enough]byte
	head := body[:min(enough, len(body))]
	head = head[:bytes.LastIndexByte(head, '\n')+1] // a cut within a group of four would allocate an error
	// What precedes garbage is decoded all the same.
	n, _ := base64.StdEncoding.Decode(buf[:], head)
	subject, ok := rawSubject(buf[:n])
	if !ok && len(head) < len(body) {
		der := make([]byte, base64.StdEncoding.DecodedLen(len(body)))
		n, _ = base64.StdEncoding.Decode(der, body)
		subject, ok = rawSubject(der[:n])
	}
	if !ok {
		return 0, false
	}
	return maphash.Bytes(seed, subject), true
}

const (
	tagInteger  = 0x02
	tagSequence = 0x30
	tagVersion  = 0xa0 // [0], constructed
)

// rawSubject walks a certificate (RFC 5280, section 4.1), which may be cut off
// after its subject, to the DER of that subject. It refuses nothing that
// crypto/x509 parses.
func rawSubject(der []byte) ([]byte, bool) {
	_, der, ok := header(der, tagSequence) // Certificate
	if !ok {
		return nil, false
	}
	_, der, ok = header(der, tagSequence) // TBSCertificate
	if !ok {
		return nil, false
	}
	if len(der) > 0 && der[0] == tagVersion {
		if _, der, ok = element(der, tagVersion); !ok {
			return nil, false
		}
	}
	for _, tag := range [...]byte{tagInteger, tagSequence, tagSequence, tagSequence} { // serial, signature, issuer, validity
		if _, der, ok = element(der, tag); !ok {
			return nil, false
		}
	}
	subject, _, ok := element(der, tagSequence)
	return subject, ok
}

// element cuts the DER element of that tag, header included, off der.
func element(der []byte, tag byte) (whole, rest []byte, ok bool) {
	n, content, ok := header(der, tag)
	if !ok || n > len(content) {
		return nil, nil, false
	}
	end := len(der) - len(content) + n
	return der[:end], der[end:], true
}

// header cuts tag and length off der; the content may be cut short.
func header(der []byte, tag byte) (length int, content []byte, ok bool) {
	if len(der) < 2 || der[0] != tag {
		return 0, nil, false
	}
	if der[1] < 0x80 {
		return int(der[1]), der[2:], true
	}
	n := int(der[1] & 0x7f)
	if n == 0 || n > 4 || len(der) < 2+n {
		return 0, nil, false
	}
	for _, b := range der[2 : 2+n] {
		length = length<<8 | int(b)
	}
	return length, der[2+n:], length >= 0
}
