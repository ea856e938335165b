// Package truststore verifies TLS servers against a PEM bundle of roots without
// parsing the bundle. Parsing 143 roots costs 2 to 9 ms of CPU, which on a
// 128 MB Lambda is 30 to 120 ms of a cold start; one handshake needs one root.
//
// A [Store] knows where each certificate of its bundle lies and a hash of its
// raw subject. In a handshake it parses the roots that the server's chain names
// and leaves the verdict to [crypto/x509.Certificate.Verify]:
//
//	store, err := truststore.System(env)
//	...
//	conn := tls.Client(raw, store.TLSConfig("s3.eu-west-1.amazonaws.com"))
package truststore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"hash/maphash"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/glowplug/glowplug/gomod/awserr"
)

const (
	// maxFile keeps a device or a log that was named by mistake out of memory; the largest public bundle has 0.3 MB.
	maxFile = 16 << 20
	// maxSessions is the number of hosts whose TLS sessions are kept.
	maxSessions = 64
	// maxMemo is the number of verified chains that are kept.
	maxMemo = 8
)

// Store is a set of trusted roots. It is safe for concurrent use and never
// changes after it was made. The zero Store trusts nobody.
//
// Only blocks of type CERTIFICATE without PEM headers count, and blocks that
// hold no certificate are skipped, as in [crypto/x509.CertPool.AppendCertsFromPEM].
type Store struct {
	// Now is the clock of verification; nil means time.Now. Set it before the first use.
	Now func() time.Time

	files    []string // where roots come from
	roots    []root
	sessions tls.ClientSessionCache

	mu   sync.Mutex // held while verifying, so that parallel handshakes with one host verify its chain once
	memo []verified // at most maxMemo, oldest first
}

// verified is a chain that was accepted for host, and when that holds.
type verified struct {
	host                string
	chain               []*x509.Certificate
	notBefore, notAfter time.Time
}

// seed is shared by all stores; a collision costs one needless parse.
var seed = maphash.MakeSeed()

// FromPEM returns a Store of the certificates in data, which it copies. The
// error is an [awserr.Error] of kind Invalid and code "NoCertificate" when there
// is none.
func FromPEM(data []byte) (*Store, error) {
	return newStore("the CA bundle", index(nil, bytes.Clone(data)), nil)
}

// File returns a Store of the certificates in the PEM file at path, of at most
// 16 MiB. The error is an [awserr.Error] of kind Invalid: code "CABundle" when
// the file can't be read, "NoCertificate" when it holds none.
func File(path string) (*Store, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, &awserr.Error{
			Kind: awserr.Invalid, Code: "CABundle", Err: err,
			Message: "the CA bundle " + strconv.Quote(path) + " can't be read (" + reason(err) + "): correct the path or its permissions",
		}
	}
	return newStore("the CA bundle "+strconv.Quote(path), index(nil, data), []string{path})
}

func newStore(what string, roots []root, files []string) (*Store, error) {
	if holdsCertificate(roots) {
		return &Store{files: files, roots: roots, sessions: tls.NewLRUClientSessionCache(maxSessions)}, nil
	}
	return nil, &awserr.Error{
		Kind: awserr.Invalid, Code: "NoCertificate",
		Message: what + " holds no certificate: give a PEM file with at least one CERTIFICATE block",
	}
}

// Files returns the files and directories that the roots come from; none for [FromPEM].
func (s *Store) Files() []string { return s.files }

// Len returns the number of certificates, of which it parses every one; what two files hold counts twice.
func (s *Store) Len() int {
	n := 0
	for i := range s.roots {
		if s.roots[i].certificate() != nil {
			n++
		}
	}
	return n
}

// Pool returns a new pool of all certificates of s, every one parsed: 2 ms of
// CPU for 143 roots. It is for TLS that something else configures, such as
// net/http behind a proxy. The error says that s is the zero Store.
func (s *Store) Pool() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	found := false
	for i := range s.roots {
		if c := s.roots[i].certificate(); c != nil {
			pool.AddCert(c)
			found = true
		}
	}
	if !found {
		return nil, errors.New("truststore: no certificate in the store")
	}
	return pool, nil
}

// TLSConfig returns a new client configuration for host, a name or an IP
// address; "host:port", "[::1]" and an IPv6 zone are understood. The server is
// accepted if Go's own verifier accepts its chain for host with the roots of s,
// in full handshakes and in resumed ones alike; no host and no chain are
// refused. All configurations of s share one cache of TLS sessions.
//
// A refusal is a [crypto/tls.CertificateVerificationError] around the error of
// crypto/x509. HTTP/1.1 and TLS 1.2 or later are offered.
func (s *Store) TLSConfig(host string) *tls.Config {
	host = hostOnly(host)
	return &tls.Config{
		ServerName: host,
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		// Go would add the hybrid of X25519 and ML-KEM-768: more than twice the CPU of a
		// key exchange and 1.1 kB more each way, on a function that may have 1/14 of a core.
		CurvePreferences:   []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
		ClientSessionCache: s.sessions,
		Time:               s.now,
		// The verifier is below: VerifyPeerCertificate would be skipped on resumption.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			// Not cs.ServerName: it is what SNI said, which is nothing for an IP address.
			return s.verify(host, cs.PeerCertificates)
		},
	}
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// verify accepts chain for host, or says why not.
func (s *Store) verify(host string, chain []*x509.Certificate) error {
	if host == "" {
		return errors.New("truststore: no host to verify the server's certificate for")
	}
	if len(chain) == 0 {
		return errors.New("truststore: the server sent no certificate")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.known(host, chain, now) {
		return nil
	}
	// Never nil: a nil pool would stand for the system's roots.
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for i, c := range chain {
		for _, name := range [...][]byte{c.RawIssuer, c.RawSubject} {
			for _, trusted := range s.named(name) {
				roots.AddCert(trusted)
			}
		}
		if i > 0 {
			intermediates.AddCert(c)
		}
	}
	chains, err := chain[0].Verify(x509.VerifyOptions{
		DNSName:       host,
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	s.remember(host, chain, chains[0])
	return nil
}

// named returns the certificates of that subject, parsing no others.
func (s *Store) named(subject []byte) []*x509.Certificate {
	var found []*x509.Certificate
	h := maphash.Bytes(seed, subject)
	for i := range s.roots {
		if s.roots[i].subject != h {
			continue
		}
		if c := s.roots[i].certificate(); c != nil && bytes.Equal(c.RawSubject, subject) {
			found = append(found, c)
		}
	}
	return found
}

// known reports whether this very chain was accepted for host and that still holds.
func (s *Store) known(host string, chain []*x509.Certificate, now time.Time) bool {
next:
	for _, v := range s.memo {
		if v.host != host || len(v.chain) != len(chain) || now.Before(v.notBefore) || now.After(v.notAfter) {
			continue
		}
		for i, c := range chain {
			if !v.chain[i].Equal(c) {
				continue next
			}
		}
		return true
	}
	return false
}

// remember keeps chain as accepted for host while each certificate on the path
// to its root is valid.
func (s *Store) remember(host string, chain, path []*x509.Certificate) {
	v := verified{host: host, chain: chain, notBefore: path[0].NotBefore, notAfter: path[0].NotAfter}
	for _, c := range path[1:] {
		if c.NotBefore.After(v.notBefore) {
			v.notBefore = c.NotBefore
		}
		if c.NotAfter.Before(v.notAfter) {
			v.notAfter = c.NotAfter
		}
	}
	if len(s.memo) == maxMemo {
		s.memo = append(s.memo[:0], s.memo[1:]...)
	}
	s.memo = append(s.memo, v)
}

// hostOnly strips port, brackets and IPv6 zone; a zone has a meaning on this machine only.
func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	if ip, _, ok := strings.Cut(host, "%"); ok && net.ParseIP(ip) != nil {
		host = ip
	}
	return host
}

// readFile reads a regular file of at most maxFile bytes.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > maxFile:
		return nil, errors.New("larger than 16 MiB")
	}
	return os.ReadFile(path)
}

// reason is err without the path, which the sentence around it has already.
func reason(err error) string {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}
