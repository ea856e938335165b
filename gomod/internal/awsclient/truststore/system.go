package truststore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/glowplug/glowplug/gomod/awserr"
)

// Where systems keep their roots: the lists of crypto/x509 (root_linux.go, root_bsd.go).
var (
	bundles = []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Alpine
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Amazon Linux, Fedora, RHEL
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Amazon Linux 2023 without the link above
		"/etc/ssl/ca-bundle.pem",                            // SUSE
		"/var/lib/ca-certificates/ca-bundle.pem",            // SUSE without the link above
		"/etc/pki/tls/cacert.pem",                           // OpenELEC
		"/etc/ssl/cert.pem",                                 // Alpine, macOS, OpenBSD, FreeBSD
		"/usr/local/etc/ssl/cert.pem",                       // FreeBSD
		"/usr/local/share/certs/ca-root-nss.crt",            // FreeBSD, DragonFly
		"/etc/openssl/certs/ca-certificates.crt",            // NetBSD
	}
	directories = []string{
		"/etc/ssl/certs",
		"/etc/pki/tls/certs",
		"/usr/local/share/certs",
		"/etc/openssl/certs",
	}
)

// System returns a Store of the system's roots. In env, SSL_CERT_FILE replaces
// the well-known bundles and SSL_CERT_DIR, a list separated by colons, the
// well-known directories, as in crypto/x509. Unlike there, the well-known
// directories are read only if no bundle holds a certificate: they repeat its
// roots in a file each, which costs 6 ms.
//
// The error is an [awserr.Error] of kind Invalid and code "NoTrustStore": no
// retry helps before the machine or a setting has changed.
func System(env map[string]string) (*Store, error) {
	var roots []root
	var read []string
	var problem string // the first file or directory that is there and can't be read
	note := func(path string, err error) {
		if problem == "" && !errors.Is(err, fs.ErrNotExist) {
			problem = path + ": " + reason(err)
		}
	}

	files, dirs := bundles, directories
	if file := env["SSL_CERT_FILE"]; file != "" {
		files = []string{file}
	}
	for _, file := range files {
		data, err := readFile(file)
		if err != nil {
			note(file, err)
			continue
		}
		if roots = index(roots, data); holdsCertificate(roots) {
			read = append(read, file)
			break
		}
	}
	if list := env["SSL_CERT_DIR"]; list != "" {
		dirs = strings.Split(list, ":")
	} else if holdsCertificate(roots) {
		dirs = nil
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			note(dir, err)
			continue
		}
		before := len(roots)
		for _, entry := range entries {
			if isLinkWithin(dir, entry) {
				continue
			}
			// As in crypto/x509, what can't be read there is no certificate.
			if data, err := readFile(filepath.Join(dir, entry.Name())); err == nil {
				roots = index(roots, data)
			}
		}
		if len(roots) > before {
			read = append(read, dir)
		}
	}

	store, err := newStore("the trust store", roots, read)
	if err == nil {
		return store, nil
	}
	message := "this system has no trusted root certificates"
	if file := env["SSL_CERT_FILE"]; file != "" {
		message = "no trusted root certificate in SSL_CERT_FILE=" + strconv.Quote(file) + " or on this system"
	}
	if problem != "" {
		message += " (" + problem + ")"
	}
	return nil, &awserr.Error{
		Kind: awserr.Invalid, Code: "NoTrustStore",
		Message: message + ": install the package ca-certificates, or set ca_bundle, AWS_CA_BUNDLE or SSL_CERT_FILE to a PEM file of roots",
	}
}

// isLinkWithin reports whether entry only names another entry of dir, as the
// hashed names of OpenSSL do.
func isLinkWithin(dir string, entry fs.DirEntry) bool {
	if entry.Type()&fs.ModeSymlink == 0 {
		return false
	}
	target, err := os.Readlink(filepath.Join(dir, entry.Name()))
	return err == nil && !strings.Contains(target, "/")
}
