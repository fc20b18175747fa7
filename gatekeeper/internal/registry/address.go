package registry

import (
	"fmt"
	"net/netip"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/netguard"
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
	case netguard.NeverAsked(ip):
		return &AddressError{Host: clean(hostPort), Kind: "a link-local or reserved address"}
	case ip.IsLoopback() && !c.onLoopback.Load():
		return &AddressError{Host: clean(hostPort), Kind: "this machine"}
	}
	return nil
}

// checkTokenServer looks at the address of a connection to a token server. The
// registry itself and those that the configuration names may be anywhere.
func (c *client) checkTokenServer(hostPort string, ip netip.Addr) error {
	if hostPort == c.hostPort || c.tokenServers[hostPort] || netguard.Public(ip) {
		return nil
	}
	return &AddressError{
		Host: clean(hostPort), Kind: "a private address",
		Hint: ": when it may issue tokens for this registry, name it in registries[].auth.tokenServers",
	}
}
