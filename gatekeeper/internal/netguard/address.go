// Package netguard looks at the addresses of outgoing connections after their
// names were looked up, so that no URL that others wrote leads to where its
// address may not. It makes no requests and decides nothing about hosts; which
// addresses are allowed is its caller's to say.
package netguard

import "net/netip"

// NeverAsked knows the addresses that nothing of interest is at: those of one
// link, where clouds answer with the machine's credentials, and what is no
// address of one host. This machine and private networks are not among them.
func NeverAsked(ip netip.Addr) bool {
	return !ip.IsGlobalUnicast() && !ip.IsLoopback() || within(ip,
		"0.0.0.0/8", "240.0.0.0/4",
		"100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::254/128", // instance metadata of several clouds
	)
}

// Public says whether an address is one of the Internet (IANA's special-purpose
// address registries, RFC 6890).
func Public(ip netip.Addr) bool {
	return !NeverAsked(ip) && !ip.IsLoopback() && !ip.IsPrivate() &&
		!within(ip, "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "64:ff9b:1::/48")
}

// Plain is the address that a connection really leads to: an IPv4 address
// written as IPv6 becomes IPv4, also one that a translator made of it (RFC
// 6052), and a zone is left out.
func Plain(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
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
