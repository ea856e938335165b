package fakes3

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// TLS is what a Server presents. Each is of RSA-2048 and, but for SelfSigned, a
// chain of root, intermediate and leaf, as S3's own: so handshakes cost the same.
type TLS string

// The variants. The leaf is for 127.0.0.1, ::1, localhost and *.localhost.
const (
	NoTLS      TLS = ""
	ValidTLS   TLS = "valid"
	Expired    TLS = "expired"     // the leaf ended yesterday
	WrongHost  TLS = "wrong-host"  // the leaf is for wrong.example
	SelfSigned TLS = "self-signed" // no chain; the CA handed out did not sign it
	Untrusted  TLS = "untrusted"   // a whole chain, of another root than the CA handed out
	TLS11      TLS = "tls1.1"      // valid, but no protocol above TLS 1.1
)

// authority is made once a process: keys are slow to find.
type authority struct {
	root, other, inter, otherInter *x509.Certificate
	rootKey, interKey, leafKey     *rsa.PrivateKey
}

var makeAuthority = sync.OnceValues(func() (*authority, error) {
	a := &authority{}
	for _, k := range []**rsa.PrivateKey{&a.rootKey, &a.interKey, &a.leafKey} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		*k = key
	}
	var err error
	if a.root, err = certify(caTemplate("fakes3 root"), nil, a.rootKey, a.rootKey); err != nil {
		return nil, err
	}
	if a.other, err = certify(caTemplate("fakes3 other root"), nil, a.rootKey, a.rootKey); err != nil {
		return nil, err
	}
	if a.inter, err = certify(caTemplate("fakes3 intermediate"), a.root, a.interKey, a.rootKey); err != nil {
		return nil, err
	}
	a.otherInter, err = certify(caTemplate("fakes3 other intermediate"), a.other, a.interKey, a.rootKey)
	return a, err
})

func caTemplate(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(365 * 24 * time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
}

func leafTemplate() *x509.Certificate {
	t := caTemplate("127.0.0.1")
	t.IsCA, t.KeyUsage = false, x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	t.DNSNames = []string{"localhost", "*.localhost"}
	return t
}

// certify signs t, or lets it sign itself where parent is nil.
func certify(t, parent *x509.Certificate, key, signer *rsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	if t.SerialNumber = serial; parent == nil {
		parent, signer = t, key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// TLSConfig returns a server configuration of the variant and, as PEM, the root
// that clients are to trust. HTTP/1.1 only, as S3. NoTLS and unknown variants fail.
func TLSConfig(variant TLS) (config *tls.Config, ca []byte, err error) {
	a, err := makeAuthority()
	if err != nil {
		return nil, nil, err
	}
	t, inter, signer := leafTemplate(), a.inter, a.interKey
	root := a.root
	config = &tls.Config{NextProtos: []string{"http/1.1"}}
	switch variant {
	case ValidTLS:
	case Expired:
		t.NotAfter = time.Now().Add(-24 * time.Hour)
	case WrongHost:
		t.Subject.CommonName, t.IPAddresses, t.DNSNames = "wrong.example", nil, []string{"wrong.example"}
	case SelfSigned:
		inter = nil
	case Untrusted:
		inter = a.otherInter
	case TLS11:
		config.MinVersion, config.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
	default:
		return nil, nil, fmt.Errorf("fakes3: unknown TLS variant %q: use valid, expired, wrong-host, self-signed, untrusted or tls1.1", variant)
	}
	leaf, err := certify(t, inter, a.leafKey, signer)
	if err != nil {
		return nil, nil, err
	}
	cert := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: a.leafKey}
	if inter != nil {
		cert.Certificate = append(cert.Certificate, inter.Raw)
	}
	config.Certificates = []tls.Certificate{cert}
	return config, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), nil
}
