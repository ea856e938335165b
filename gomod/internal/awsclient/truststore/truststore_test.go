package truststore_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient/truststore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestVerdict compares each verdict with Go's default verifier over the whole bundle.
func TestVerdict(t *testing.T) {
	rootKey, otherKey, interKey, leafKey := newKey(t), newKey(t), newKey(t), newKey(t)
	root := issue(t, rootKey, nil, authority("Root"))
	twin := issue(t, otherKey, nil, authority("Root")) // the same subject, another key
	other := issue(t, otherKey, nil, authority("Other"))
	expiredRoot := issue(t, rootKey, nil, authority("Root", expired))
	inter := issue(t, interKey, root, authority("Intermediate"))
	expiredInter := issue(t, interKey, root, authority("Intermediate", expired))
	constrained := issue(t, interKey, root, authority("Constrained", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"elsewhere.test"}
	}))
	clientOnly := issue(t, interKey, root, authority("Client CA", func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}))
	noCA := issue(t, interKey, root, authority("No CA", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }))
	shallow := issue(t, otherKey, root, authority("Shallow", func(c *x509.Certificate) { c.MaxPathLenZero = true }))
	deep := issue(t, interKey, shallow, authority("Deep"))
	crossOfRoot := issue(t, rootKey, other, authority("Root"))   // the new root, signed by the old
	crossOfOther := issue(t, otherKey, root, authority("Other")) // and the other way round

	leaf := issue(t, leafKey, inter, server())
	direct := issue(t, leafKey, root, server())
	selfSigned := issue(t, leafKey, nil, server())
	selfSignedExpired := issue(t, leafKey, nil, server(expired))
	noNames := issue(t, leafKey, root, server(func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses, c.Subject = nil, nil, pkix.Name{CommonName: "bucket.test"}
	}))

	cases := map[string]struct {
		trust  []*identity
		show   tls.Certificate
		host   string
		accept bool
		as     any // the error that the refusal has to be, where the oracle's type is not enough
	}{
		"a chain to a root is accepted":                        {[]*identity{other, root}, present(leaf, inter), "bucket.test", true, nil},
		"a leaf of the root itself is accepted":                {[]*identity{root}, present(direct), "bucket.test", true, nil},
		"a name in capitals is accepted":                       {[]*identity{root}, present(leaf, inter), "Bucket.TEST", true, nil},
		"a trailing dot is accepted":                           {[]*identity{root}, present(leaf, inter), "bucket.test.", true, nil},
		"a wildcard covers one label":                          {[]*identity{root}, present(leaf, inter), "a.wild.test", true, nil},
		"a wildcard does not cover two labels":                 {[]*identity{root}, present(leaf, inter), "a.b.wild.test", false, new(x509.HostnameError)},
		"another host is refused":                              {[]*identity{root}, present(leaf, inter), "bucket.example", false, new(x509.HostnameError)},
		"an IP address of the certificate is accepted":         {[]*identity{root}, present(leaf, inter), "127.0.0.1", true, nil},
		"an IPv6 address of the certificate is accepted":       {[]*identity{root}, present(leaf, inter), "::1", true, nil},
		"an IPv6 address in brackets is accepted":              {[]*identity{root}, present(leaf, inter), "[::1]", true, nil},
		"another IP address is refused":                        {[]*identity{root}, present(leaf, inter), "127.0.0.2", false, new(x509.HostnameError)},
		"a common name is no name":                             {[]*identity{root}, present(noNames), "bucket.test", false, new(x509.HostnameError)},
		"an expired leaf is refused":                           {[]*identity{root}, present(issue(t, leafKey, inter, server(expired)), inter), "bucket.test", false, new(x509.CertificateInvalidError)},
		"a leaf that is not valid yet is refused":              {[]*identity{root}, present(issue(t, leafKey, inter, server(notYet)), inter), "bucket.test", false, new(x509.CertificateInvalidError)},
		"an expired intermediate is refused":                   {[]*identity{root}, present(leaf, expiredInter), "bucket.test", false, nil},
		"an expired intermediate beside a valid one is no bar": {[]*identity{root}, present(leaf, expiredInter, inter), "bucket.test", true, nil},
		"an expired root is refused":                           {[]*identity{expiredRoot}, present(leaf, inter), "bucket.test", false, nil},
		"an expired root beside its renewal is no bar":         {[]*identity{expiredRoot, root}, present(leaf, inter), "bucket.test", true, nil},
		"a root that is not in the store is refused":           {[]*identity{other}, present(leaf, inter, root), "bucket.test", false, new(x509.UnknownAuthorityError)},
		"another key under the root's subject is refused":      {[]*identity{twin}, present(leaf, inter), "bucket.test", false, new(x509.UnknownAuthorityError)},
		"all roots of one subject are tried":                   {[]*identity{twin, root}, present(leaf, inter), "bucket.test", true, nil},
		"all roots of one subject are tried, in any order":     {[]*identity{root, twin}, present(leaf, inter), "bucket.test", true, nil},
		"a missing intermediate is refused":                    {[]*identity{root}, present(leaf), "bucket.test", false, new(x509.UnknownAuthorityError)},
		"an intermediate in the store is a root":               {[]*identity{inter}, present(leaf), "bucket.test", true, nil},
		"the root may be shown too":                            {[]*identity{root}, present(leaf, inter, root), "bucket.test", true, nil},
		"certificates in another order are accepted":           {[]*identity{root}, present(leaf, root, other, inter), "bucket.test", true, nil},
		"a self-signed leaf in the store is accepted":          {[]*identity{selfSigned}, present(selfSigned), "bucket.test", true, nil},
		"a leaf in the store is accepted without its issuer":   {[]*identity{leaf}, present(leaf), "bucket.test", true, nil},
		"a self-signed leaf outside the store is refused":      {[]*identity{root}, present(selfSigned), "bucket.test", false, new(x509.UnknownAuthorityError)},
		"an expired self-signed leaf in the store is refused":  {[]*identity{selfSignedExpired}, present(selfSignedExpired), "bucket.test", false, new(x509.CertificateInvalidError)},
		"a self-signed leaf in the store needs the host":       {[]*identity{selfSigned}, present(selfSigned), "bucket.example", false, new(x509.HostnameError)},
		"a leaf for clients only is refused": {[]*identity{root}, present(issue(t, leafKey, inter, server(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})), inter), "bucket.test", false, new(x509.CertificateInvalidError)},
		"an authority for clients only is refused":        {[]*identity{root}, present(issue(t, leafKey, clientOnly, server()), clientOnly), "bucket.test", false, new(x509.CertificateInvalidError)},
		"a name outside the authority's names is refused": {[]*identity{root}, present(issue(t, leafKey, constrained, server()), constrained), "bucket.test", false, new(x509.CertificateInvalidError)},
		"a certificate that is no authority signs none":   {[]*identity{root}, present(issue(t, leafKey, noCA, server()), noCA), "bucket.test", false, nil},
		"a path longer than allowed is refused":           {[]*identity{root}, present(issue(t, leafKey, deep, server()), deep, shallow), "bucket.test", false, nil},
		"a new root signed by the old one is accepted":    {[]*identity{other}, present(leaf, inter, crossOfRoot), "bucket.test", true, nil},
		"with the new root the cross sign is not needed":  {[]*identity{root}, present(leaf, inter, crossOfRoot), "bucket.test", true, nil},
		"an old root signed by the new one is accepted":   {[]*identity{root}, present(issue(t, leafKey, other, server()), crossOfOther), "bucket.test", true, nil},
		"both roots, both cross signs":                    {[]*identity{root, other}, present(leaf, inter, crossOfRoot, crossOfOther), "bucket.test", true, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := listen(t, &tls.Config{Certificates: []tls.Certificate{c.show}, Time: func() time.Time { return now }})
			store, err := truststore.FromPEM(bundle(c.trust...))
			require.NoError(t, err)
			store.Now = func() time.Time { return now }
			_, err = shake(t, addr, store.TLSConfig(c.host))

			pool := x509.NewCertPool()
			for _, i := range c.trust {
				pool.AddCert(i.cert)
			}
			_, oracle := shake(t, addr, &tls.Config{RootCAs: pool, ServerName: c.host, Time: store.Now})

			require.Equal(t, c.accept, oracle == nil, "Go's verifier: %v", oracle)
			if c.accept {
				require.NoError(t, err)
				return
			}
			require.Equal(t, oracle.Error(), err.Error())
			require.ErrorAs(t, err, new(*tls.CertificateVerificationError))
			if c.as != nil {
				require.ErrorAs(t, err, c.as)
			}
		})
	}
}

func TestTLSConfig(t *testing.T) {
	root := issue(t, newKey(t), nil, authority("Root"))
	leaf := issue(t, newKey(t), root, server())
	store, err := truststore.FromPEM(bundle(root))
	require.NoError(t, err)
	verify := func(host string, chain ...*x509.Certificate) error {
		return store.TLSConfig(host).VerifyConnection(tls.ConnectionState{ServerName: "bucket.test", PeerCertificates: chain})
	}

	for host, name := range map[string]string{
		"bucket.test":     "bucket.test",
		"bucket.test:443": "bucket.test",
		"127.0.0.1:9000":  "127.0.0.1",
		"[::1]:9000":      "::1",
		"[::1]":           "::1",
		"::1":             "::1",
		"::1%lo":          "::1",
		"[::1%lo]:9000":   "::1",
	} {
		require.Equal(t, name, store.TLSConfig(host).ServerName, host)
		require.NoError(t, verify(host, leaf.cert), host)
	}
	for _, host := range []string{"", ":443", "[]", "[]:443"} {
		require.ErrorContains(t, verify(host, leaf.cert), "no host", host)
	}
	require.ErrorContains(t, verify("bucket.test"), "no certificate")
	require.Error(t, verify("other.test", leaf.cert), "the host is the configuration's, not that of SNI")
	require.Error(t, verify("bucket%.test", leaf.cert))

	var zero truststore.Store
	require.ErrorAs(t, zero.TLSConfig("bucket.test").VerifyConnection(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf.cert}}),
		new(x509.UnknownAuthorityError), "the zero Store trusts nobody, nor the system's roots")
	_, err = zero.Pool()
	require.Error(t, err)

	a, b := store.TLSConfig("a.test"), store.TLSConfig("b.test")
	require.Same(t, a.ClientSessionCache, b.ClientSessionCache)
	require.Equal(t, uint16(tls.VersionTLS12), a.MinVersion)
	require.Equal(t, []string{"http/1.1"}, a.NextProtos)
}

// TestResumption shows that a resumed session is verified like a new one.
func TestResumption(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		for _, host := range []string{"bucket.test", "127.0.0.1"} {
			t.Run(name+" with "+host, func(t *testing.T) {
				key := newKey(t)
				root := issue(t, newKey(t), nil, authority("Root"))
				// The leaf outlives its issuer, so that crypto/tls itself would still resume.
				inter := issue(t, key, root, authority("Intermediate", func(c *x509.Certificate) { c.NotAfter = now.Add(30 * time.Minute) }))
				leaf := issue(t, newKey(t), inter, server())
				addr := listen(t, &tls.Config{Certificates: []tls.Certificate{present(leaf, inter)}, MaxVersion: version})
				store, err := truststore.FromPEM(bundle(root))
				require.NoError(t, err)
				clock := now
				store.Now = func() time.Time { return clock }

				state, err := shake(t, addr, store.TLSConfig(host))
				require.NoError(t, err)
				require.Equal(t, version, state.Version)
				require.False(t, state.DidResume)
				state, err = shake(t, addr, store.TLSConfig(host))
				require.NoError(t, err)
				require.True(t, state.DidResume, "another configuration of the store shares its sessions")

				// A store that does not trust the root must not be talked into it by a session.
				stranger, err := truststore.FromPEM(bundle(issue(t, newKey(t), nil, authority("Stranger"))))
				require.NoError(t, err)
				config, resumes := watched(stranger.TLSConfig(host))
				config.ClientSessionCache = store.TLSConfig(host).ClientSessionCache
				_, err = shake(t, addr, config)
				require.True(t, *resumes)
				require.ErrorAs(t, err, new(x509.UnknownAuthorityError))

				// That refusal may have dropped the session; the same store refuses once the chain has expired.
				_, err = shake(t, addr, store.TLSConfig(host))
				require.NoError(t, err)
				clock = now.Add(45 * time.Minute)
				config, resumes = watched(store.TLSConfig(host))
				_, err = shake(t, addr, config)
				require.True(t, *resumes)
				require.ErrorAs(t, err, new(*tls.CertificateVerificationError))
			})
		}
	}
}

// watched returns config and whether its last handshake, accepted or not, resumed a session.
func watched(config *tls.Config) (*tls.Config, *bool) {
	resumes, verify := new(bool), config.VerifyConnection
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		*resumes = cs.DidResume
		return verify(cs)
	}
	return config, resumes
}

func TestMemo(t *testing.T) {
	root := issue(t, newKey(t), nil, authority("Root"))
	inter := issue(t, newKey(t), root, authority("Intermediate", func(c *x509.Certificate) { c.NotAfter = now.Add(time.Minute) }))
	leaf := issue(t, newKey(t), inter, server(func(c *x509.Certificate) {
		for i := range 20 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("b%d.test", i))
		}
	}))
	store, err := truststore.FromPEM(bundle(root))
	require.NoError(t, err)
	clock := now
	store.Now = func() time.Time { return clock }
	verify := func(host string, chain ...*x509.Certificate) error {
		return store.TLSConfig(host).VerifyConnection(tls.ConnectionState{PeerCertificates: chain})
	}

	require.NoError(t, verify("bucket.test", leaf.cert, inter.cert))
	require.NoError(t, verify("bucket.test", leaf.cert, inter.cert))
	require.Equal(t, 1, store.Memo())
	require.Less(t, testing.AllocsPerRun(100, func() {
		_ = store.TLSConfig("bucket.test").VerifyConnection(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf.cert, inter.cert}})
	}), 10.0, "nothing is verified again")

	require.Error(t, verify("other.test", leaf.cert, inter.cert), "another host")
	require.Error(t, verify("bucket.test", leaf.cert), "another chain")
	require.Equal(t, 1, store.Memo(), "refusals are not remembered")

	clock = now.Add(2 * time.Minute)
	require.Error(t, verify("bucket.test", leaf.cert, inter.cert), "the intermediate has expired")
	clock = now.Add(-2 * time.Hour)
	require.Error(t, verify("bucket.test", leaf.cert, inter.cert), "not valid yet")
	clock = now

	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 20 {
				if err := verify(fmt.Sprintf("b%d.test", i), leaf.cert, inter.cert); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, store.Memo(), 8)
}

func TestFromPEM(t *testing.T) {
	a := issue(t, newKey(t), nil, authority("A"))
	b := issue(t, newKey(t), nil, authority("B"))
	pemA, pemB := string(bundle(a)), string(bundle(b))
	garbage := "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
	header := strings.Replace(pemA, "-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1)

	for name, c := range map[string]struct {
		data string
		want []*identity
	}{
		"one certificate":                     {pemA, []*identity{a}},
		"two certificates":                    {pemA + pemB, []*identity{a, b}},
		"the same twice":                      {pemA + pemA, []*identity{a}},
		"no newline at the end":               {strings.TrimSuffix(pemA, "\n"), []*identity{a}},
		"Windows line ends":                   {strings.ReplaceAll(pemA+pemB, "\n", "\r\n"), []*identity{a, b}},
		"blank lines and comments":            {"\n# A\n" + pemA + "\n====\nB: the second\n" + pemB + "trailer", []*identity{a, b}},
		"blanks after the markers":            {strings.ReplaceAll(pemA, "-----\n", "----- \t\n") + pemB, []*identity{a, b}},
		"blanks in the body":                  {strings.Replace(pemA, "M", "M ", 1) + pemB, []*identity{a, b}},
		"one long line":                       {strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(pemA, "\n", ""), "TE-----", "TE-----\n"), "-----END", "\n-----END"), []*identity{a}},
		"a truncated block before a good one": {pemA[:len(pemA)/2] + "\n" + pemB, []*identity{b}},
		"garbage before a good one":           {garbage + pemB, []*identity{b}},
		"bad base64 late in a block":          {strings.Replace(pemA, "\n-----END", "*\n-----END", 1) + pemB, []*identity{b}},
		"a good one before garbage":           {pemA + garbage, []*identity{a}},
		"headers make it something else":      {header + pemB, []*identity{b}},
		"a trusted certificate is skipped":    {strings.ReplaceAll(pemA, "CERTIFICATE", "TRUSTED CERTIFICATE") + pemB, []*identity{b}},
		"a private key is skipped":            {strings.ReplaceAll(pemA, "CERTIFICATE", "PRIVATE KEY") + pemB, []*identity{b}},
		"mismatched markers are skipped":      {strings.Replace(pemA, "END CERTIFICATE", "END KEY", 1) + pemB, []*identity{b}},
		"nothing":                             {"", nil},
		"only text":                           {"hello", nil},
		"only garbage":                        {garbage, nil},
		"only a begin":                        {"-----BEGIN CERTIFICATE-----\n", nil},
		"only headers":                        {header, nil},
		"DER":                                 {string(a.cert.Raw), nil},
		"bad base64 late in the only block":   {strings.Replace(pemA, "\n-----END", "*\n-----END", 1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			oracle := x509.NewCertPool()
			require.Equal(t, len(c.want) > 0, oracle.AppendCertsFromPEM([]byte(c.data)))
			data := []byte(c.data)
			store, err := truststore.FromPEM(data)
			if len(c.want) == 0 {
				requireInvalid(t, err, "NoCertificate")
				return
			}
			require.NoError(t, err)
			clear(data)
			pool, err := store.Pool()
			require.NoError(t, err)
			require.True(t, oracle.Equal(pool))
			for _, want := range c.want {
				require.Positive(t, store.Named(want.cert.RawSubject))
			}
		})
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(path, bundle(issue(t, newKey(t), nil, authority("A"))), 0o600))
	store, err := truststore.File(path)
	require.NoError(t, err)
	require.Equal(t, []string{path}, store.Files())
	require.Equal(t, 1, store.Len())

	_, err = truststore.File(filepath.Join(dir, "absent.pem"))
	requireInvalid(t, err, "CABundle")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "no such file")

	_, err = truststore.File(dir)
	requireInvalid(t, err, "CABundle")
	require.ErrorContains(t, err, "not a regular file")

	empty := filepath.Join(dir, "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	_, err = truststore.File(empty)
	requireInvalid(t, err, "NoCertificate")
	require.ErrorContains(t, err, "empty.pem")

	huge := filepath.Join(dir, "huge.pem")
	require.NoError(t, os.WriteFile(huge, nil, 0o600))
	require.NoError(t, os.Truncate(huge, 17<<20))
	_, err = truststore.File(huge)
	requireInvalid(t, err, "CABundle")
	require.ErrorContains(t, err, "16 MiB")
}

func TestSystem(t *testing.T) {
	a := issue(t, newKey(t), nil, authority("A"))
	b := issue(t, newKey(t), nil, authority("B"))
	c := issue(t, newKey(t), nil, authority("C"))
	d := issue(t, newKey(t), nil, authority("D"))
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path(name)), 0o700))
		require.NoError(t, os.WriteFile(path(name), data, 0o600))
	}
	write("a.pem", bundle(a))
	write("b.pem", bundle(b))
	write("empty.pem", nil)
	write("one/c.pem", bundle(c))
	write("one/note.txt", []byte("no certificate"))
	require.NoError(t, os.Mkdir(path("one/sub"), 0o700))
	require.NoError(t, os.Symlink("c.pem", path("one/0123abcd.0")))
	require.NoError(t, os.Symlink(path("b.pem"), path("one/elsewhere.pem")))
	write("two/d.pem", bundle(d))

	for name, tc := range map[string]struct {
		files, dirs []string
		env         map[string]string
		want        []*identity
	}{
		"the first bundle there is":                {[]string{"absent.pem", "a.pem", "b.pem"}, []string{"one"}, nil, []*identity{a}},
		"a bundle without certificates is passed":  {[]string{"empty.pem", "b.pem"}, []string{"one"}, nil, []*identity{b}},
		"directories where no bundle is":           {[]string{"absent.pem"}, []string{"none", "one", "two"}, nil, []*identity{b, c, d}},
		"SSL_CERT_FILE instead of the bundles":     {[]string{"a.pem"}, []string{"one"}, map[string]string{"SSL_CERT_FILE": path("b.pem")}, []*identity{b}},
		"an empty SSL_CERT_FILE is none":           {[]string{"a.pem"}, nil, map[string]string{"SSL_CERT_FILE": ""}, []*identity{a}},
		"SSL_CERT_DIR beside the bundle":           {[]string{"a.pem"}, []string{"one"}, map[string]string{"SSL_CERT_DIR": path("two")}, []*identity{a, d}},
		"both":                                     {[]string{"a.pem"}, nil, map[string]string{"SSL_CERT_FILE": path("b.pem"), "SSL_CERT_DIR": path("two") + ":" + path("none") + ":" + path("one")}, []*identity{b, c, d}},
		"SSL_CERT_FILE absent, so the directories": {[]string{"a.pem"}, []string{"two"}, map[string]string{"SSL_CERT_FILE": path("absent.pem")}, []*identity{d}},
		"nothing": {[]string{"absent.pem"}, []string{"none"}, nil, nil},
		"SSL_CERT_FILE absent and no directories":    {[]string{"a.pem"}, nil, map[string]string{"SSL_CERT_FILE": path("absent.pem")}, nil},
		"SSL_CERT_FILE a directory, no certificates": {nil, nil, map[string]string{"SSL_CERT_FILE": dir}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			under := func(names []string) (paths []string) {
				for _, n := range names {
					paths = append(paths, path(n))
				}
				return paths
			}
			defer truststore.SetWellKnown(under(tc.files), under(tc.dirs))()
			store, err := truststore.System(tc.env)
			if len(tc.want) == 0 {
				requireInvalid(t, err, "NoTrustStore")
				require.ErrorContains(t, err, "ca-certificates")
				require.ErrorContains(t, err, "AWS_CA_BUNDLE")
				if file := tc.env["SSL_CERT_FILE"]; file != "" {
					require.ErrorContains(t, err, file)
				}
				return
			}
			require.NoError(t, err)
			pool, err := store.Pool()
			require.NoError(t, err)
			want := x509.NewCertPool()
			for _, i := range tc.want {
				want.AddCert(i.cert)
			}
			require.True(t, want.Equal(pool))
			require.GreaterOrEqual(t, store.Len(), len(tc.want), "a certificate that two files hold counts twice")
			require.NotEmpty(t, store.Files())
			for _, file := range store.Files() {
				require.True(t, strings.HasPrefix(file, dir), file)
				require.NotContains(t, file, "empty")
			}
		})
	}
}

// TestSystemBundles holds the index against crypto/x509 on every bundle of this machine.
func TestSystemBundles(t *testing.T) {
	files, _ := truststore.WellKnown()
	for _, file := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		requireSame(t, data)
	}
}

// FuzzIndex holds the index against encoding/pem and crypto/x509.
func FuzzIndex(f *testing.F) {
	a := bundle(issue(f, newKey(f), nil, authority("A")))
	b := bundle(issue(f, newKey(f), nil, authority("B")))
	f.Add(append(bytes.Clone(a), b...))
	f.Add(bytes.ReplaceAll(a, []byte("\n"), []byte("\r\n")))
	f.Add(bytes.Replace(a, []byte("-----\n"), []byte("-----\nA: b\n\n"), 1))
	f.Add(append([]byte("\n-----END -----BEGIN CERTIFICATE-----\n"), a...))
	f.Add(append(bytes.Clone(a[:len(a)/2]), b...))
	f.Add(bytes.ReplaceAll(a, []byte("CERTIFICATE"), []byte("TRUSTED CERTIFICATE")))
	f.Fuzz(func(t *testing.T, data []byte) { requireSame(t, data) })
}

// FuzzSubject does so for one block with any content.
func FuzzSubject(f *testing.F) {
	f.Add(issue(f, newKey(f), nil, authority("A")).cert.Raw)
	f.Add(issue(f, newKey(f), nil, authority(strings.Repeat("long ", 100))).cert.Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		requireSame(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	})
}

// requireSame checks that data gives what AppendCertsFromPEM takes from it, each under its subject.
func requireSame(t *testing.T, data []byte) {
	t.Helper()
	oracle := x509.NewCertPool()
	ok := oracle.AppendCertsFromPEM(data)
	store, err := truststore.FromPEM(data)
	require.Equal(t, ok, err == nil, "%v", err)
	if !ok {
		return
	}
	pool, err := store.Pool()
	require.NoError(t, err)
	require.True(t, oracle.Equal(pool))
	for _, subject := range oracle.Subjects() { //nolint:staticcheck // no system pool
		require.Positive(t, store.Named(subject))
	}
}

func requireInvalid(t *testing.T, err error, code string) {
	t.Helper()
	require.ErrorIs(t, err, awserr.Invalid)
	var e *awserr.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code)
	require.False(t, e.Retryable)
}
