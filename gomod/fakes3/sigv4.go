package fakes3

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Key is an access key that the server knows.
type Key struct {
	ID, Secret string
	Token      string    // session token that must come along; "" refuses any
	Expires    time.Time // from then on ExpiredToken; zero never
}

const (
	algorithm = "AWS4-HMAC-SHA256"
	isoBasic  = "20060102T150405Z"
	maxSkew   = 15 * time.Minute
)

// caller is who signed a request, and for which region.
type caller struct {
	anonymous bool
	region    string
}

// authorization is a parsed Authorization header.
type authorization struct {
	key, day, region, service, signature string
	signed                               []string
}

func parseAuthorization(header string) (a authorization, ok bool) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return a, false
	}
	for _, part := range strings.Split(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			scope := strings.Split(value, "/")
			if len(scope) < 5 {
				return a, false
			}
			// An access key may hold slashes: the scope is the last four parts.
			n := len(scope)
			a.key, a.day, a.region, a.service = strings.Join(scope[:n-4], "/"), scope[n-4], scope[n-3], scope[n-2]
		case "SignedHeaders":
			a.signed = strings.Split(value, ";")
		case "Signature":
			a.signature = value
		}
	}
	return a, a.key != "" && a.signed != nil && a.signature != ""
}

// authenticate checks the Authorization header (SigV4 of AWS's General Reference;
// query signing is not part of this surface). Without keys any caller is right.
func (s *state) authenticate(r *http.Request) (caller, *failure) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return caller{anonymous: true}, nil
	}
	if !strings.HasPrefix(header, algorithm+" ") {
		return caller{}, invalidArgument("Unsupported Authorization Type", "Authorization", header)
	}
	a, ok := parseAuthorization(header)
	if !ok {
		return caller{}, &failure{status: 400, code: "AuthorizationHeaderMalformed", message: "The authorization header is malformed; the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."}
	}
	who := caller{region: a.region}
	if s.Region != "" && s.Region != Signed && a.region != s.Region {
		return who, malformedRegion(a.region, s.Region)
	}
	if len(s.keys) == 0 {
		return who, nil
	}
	key, ok := s.keys[a.key]
	if !ok {
		return who, &failure{status: 403, code: "InvalidAccessKeyId", message: "The AWS Access Key Id you provided does not exist in our records.", fields: []string{"AWSAccessKeyId", a.key}}
	}
	return who, s.verify(r, a, key)
}

func (s *state) verify(r *http.Request, a authorization, key Key) *failure {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	if token := r.Header.Get("X-Amz-Security-Token"); token != key.Token {
		return &failure{status: 400, code: "InvalidToken", message: "The provided token is malformed or otherwise invalid.", fields: []string{"Token-0", token}}
	} else if !key.Expires.IsZero() && !now().Before(key.Expires) {
		return &failure{status: 400, code: "ExpiredToken", message: "The provided token has expired.", fields: []string{"Token-0", token}}
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse(isoBasic, date)
	if err != nil || !strings.HasPrefix(date, a.day) {
		return &failure{status: 403, code: "AccessDenied", message: "AWS authentication requires a valid Date or x-amz-date header"}
	}
	if skew := now().Sub(at).Abs(); skew > maxSkew {
		return &failure{status: 403, code: "RequestTimeTooSkewed", message: "The difference between the request time and the current time is too large.",
			fields: []string{"RequestTime", date, "ServerTime", now().UTC().Format("2006-01-02T15:04:05Z"), "MaxAllowedSkewMilliseconds", strconv.FormatInt(maxSkew.Milliseconds(), 10)}}
	}
	payload := r.Header.Get("X-Amz-Content-Sha256")
	if payload == "" {
		return &failure{status: 400, code: "InvalidRequest", message: "Missing required header for this request: x-amz-content-sha256"}
	}
	canonical := canonicalRequest(r, a.signed, payload)
	sum := sha256.Sum256([]byte(canonical))
	scope := strings.Join([]string{a.day, a.region, a.service, "aws4_request"}, "/")
	toSign := strings.Join([]string{algorithm, date, scope, hex.EncodeToString(sum[:])}, "\n")
	k := []byte("AWS4" + key.Secret)
	for _, part := range []string{a.day, a.region, a.service, "aws4_request", toSign} {
		m := hmac.New(sha256.New, k)
		m.Write([]byte(part))
		k = m.Sum(nil)
	}
	if hmac.Equal([]byte(hex.EncodeToString(k)), []byte(a.signature)) {
		return nil
	}
	return &failure{status: 403, code: "SignatureDoesNotMatch", message: "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
		fields: []string{"AWSAccessKeyId", a.key, "StringToSign", toSign, "SignatureProvided", a.signature, "StringToSignBytes", spacedHex(toSign), "CanonicalRequest", canonical, "CanonicalRequestBytes", spacedHex(canonical)}}
}

func canonicalRequest(r *http.Request, signed []string, payload string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + r.URL.EscapedPath() + "\n" + canonicalQuery(r.URL.Query()) + "\n")
	for _, name := range signed {
		values := r.Header.Values(name)
		switch {
		case name == "host":
			values = []string{r.Host}
		case name == "content-length" && len(values) == 0:
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		}
		trimmed := make([]string, len(values))
		for i, v := range values {
			trimmed[i] = strings.Join(strings.Fields(v), " ")
		}
		b.WriteString(name + ":" + strings.Join(trimmed, ",") + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + payload)
	return b.String()
}

func canonicalQuery(q url.Values) string {
	// url.QueryEscape differs from AWS's encoding in the space only.
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(q)) {
		for _, v := range slices.Sorted(slices.Values(q[name])) {
			pairs = append(pairs, escape(name)+"="+escape(v))
		}
	}
	return strings.Join(pairs, "&")
}

// spacedHex is how S3 shows bytes in a SignatureDoesNotMatch answer.
func spacedHex(s string) string {
	pairs := make([]string, len(s))
	for i := range len(s) {
		pairs[i] = hex.EncodeToString([]byte{s[i]})
	}
	return strings.Join(pairs, " ")
}
