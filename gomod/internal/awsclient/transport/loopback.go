package transport

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"github.com/glowplug/glowplug/gomod/awserr"
)

// CodeOffline is the code of the error, of Kind Connection, for an address that
// [Options.LoopbackOnly] refuses.
const CodeOffline = "Offline"

func offline(addr string) *awserr.Error {
	return connection(CodeOffline, false, "GLOWPLUG_OFFLINE allows loopback addresses only, and "+addr+" is none: in a test use the fixture glowplug_s3, "+
		"with glowplug_autouse = true where the client is made on import, or point endpoint_url or AWS_ENDPOINT_URL_S3 at a local server such as moto's "+
		"(http://127.0.0.1:5000); glowplug_offline = false in pytest's settings, or GLOWPLUG_OFFLINE=0, lets a suite reach AWS")
}

// refuse is the error for a request to u that a proxy may pass on, or nil. A
// loopback proxy is no way out: what it passes on to is checked as well.
func (c *Client) refuse(u, proxy *url.URL) error {
	if !c.opts.LoopbackOnly {
		return nil
	}
	for _, to := range []*url.URL{u, proxy} {
		if to != nil && !isLoopback(to.Hostname()) {
			return offline(address(to))
		}
	}
	return nil
}

// isLoopback judges a host by its name: no other name may be looked up to find out.
// Source: RFC 6761, section 6.3.
func isLoopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// loopbackDialer connects to no other address, whatever a resolver makes of localhost.
func loopbackDialer() *net.Dialer {
	return &net.Dialer{ControlContext: func(_ context.Context, _, addr string, _ syscall.RawConn) error {
		if to, err := netip.ParseAddrPort(addr); err != nil || !to.Addr().Unmap().IsLoopback() {
			return offline(addr)
		}
		return nil
	}}
}
