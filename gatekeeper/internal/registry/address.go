package registry

import (
	"fmt"
	"net/netip"
)

// AddressError says that a registry tried to send a request to an address
// that it may not lead to (GHSA-8wfp-579w-6r25).
type AddressError struct {
	Host string
	Kind string
	Hint string
}

// Error names the host.
func (e *AddressError) Error() string {
	return fmt.Sprintf("%s is %s, where nothing is asked%s", e.Host, e.Kind, e.Hint)
}

// checkRedirected looks at the address of a connection that the registry's
// URL or a redirect of it leads to. What is stored on premises is at private
// addresses, so that these are allowed: such a request carries no credentials,
// and what comes back has to hash to the digest that was asked for.
func (c *client) checkRedirected(hostPort string, ip netip.Addr) error {
	if hostPort == c.hostPort {
		if ip.IsLoopback() {
			c.onLoopback.Store(true)
		}
		return nil
	}
	switch {
	case neverAsked(ip):
		return &AddressError{Host: clean(hostPort), Kind: "a link-local or reserved address"}
	case ip.IsLoopback() && !c.onLoopback.Load():
		return &AddressError{Host: clean(hostPort), Kind: "this machine"}
	}
	return nil
}

// checkTokenServer looks at the address of a connection to a token server. The
// registry itself and those that the configuration names may be anywhere.
func (c *client) checkTokenServer(hostPort string, ip netip.Addr) error {
	if hostPort == c.hostPort || c.tokenServers[hostPort] || public(ip) {
		return nil
	}
	return &AddressError{
		Host: clean(hostPort), Kind: "a private address",
		Hint: ": when it may issue tokens for this registry, name it in registries[].auth.tokenServers",
	}
}

// neverAsked knows the addresses that no registry keeps blobs at: those of one
// link, where clouds answer with the machine's credentials, and what is no
// address of one host.
func neverAsked(ip netip.Addr) bool {
	return !ip.IsGlobalUnicast() && !ip.IsLoopback() || within(ip,
		"0.0.0.0/8", "240.0.0.0/4",
		"100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::254/128", // instance metadata of several clouds
	)
}

// public says whether an address is one of the Internet (IANA's special-purpose
// address registries, RFC 6890).
func public(ip netip.Addr) bool {
	return !neverAsked(ip) && !ip.IsLoopback() && !ip.IsPrivate() &&
		!within(ip, "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "64:ff9b:1::/48")
}

// nat64 takes the IPv4 address out of one that a translator made of it (RFC
// 6052); others stay as they are.
func nat64(ip netip.Addr) netip.Addr {
	if !within(ip, "64:ff9b::/96") {
		return ip
	}
	b := ip.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

func within(ip netip.Addr, prefixes ...string) bool {
	for _, p := range prefixes {
		if netip.MustParsePrefix(p).Contains(ip) {
			return true
		}
	}
	return false
}
