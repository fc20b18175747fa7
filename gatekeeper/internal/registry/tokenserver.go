package registry

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/netguard"
)

// TokenServerError says that a registry wants its credentials sent to a server
// that gets none. Nothing was sent to it.
type TokenServerError struct {
	Host   string
	Reason string
}

// Error names the host and the key of the configuration that would allow it.
func (e *TokenServerError) Error() string {
	return fmt.Sprintf("the registry asks for a token of %s, which gets no credentials: %s; when it may issue tokens for this registry, name it in registries[].auth.tokenServers", e.Host, e.Reason)
}

// checkRealm says where credentials may be exchanged for a token: at the
// registry itself, at the hosts that the configuration names, and by https at
// the hosts of the registry's own registrable domain, as registry.gitlab.com
// and gitlab.com, or registry-1.docker.io and auth.docker.io. The address of
// the last is looked at when it is connected to. Any other realm is somebody
// who wants the credentials (CVE-2026-33540, CVE-2020-15157).
func (c *client) checkRealm(realm string) (*url.URL, error) {
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, &TokenServerError{Host: fmt.Sprintf("%q", clean(realm)), Reason: "it is no URL of a token server"}
	}
	refuse := func(reason string) (*url.URL, error) {
		return nil, &TokenServerError{Host: clean(u.Host), Reason: reason}
	}
	host := netguard.HostPort(u)
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || c.scheme == "https"):
		return refuse("it is to be asked by " + clean(u.Scheme) + " instead of https")
	case host == c.hostPort, c.tokenServers[host]:
		return u, nil
	case u.Scheme != "https":
		return refuse("it is not the registry's own host, and asked without TLS")
	case !sameDomain(c.hostPort, host):
		return refuse("it is neither the registry's own host nor in its domain")
	}
	return u, nil
}

// tokenServers reads entries of the form host or host:port. Without a port
// they mean that of https, and for a registry without TLS also that of http.
func tokenServers(entries []string, scheme string) map[string]bool {
	all := map[string]bool{}
	for _, entry := range entries {
		u := &url.URL{Scheme: "https", Host: entry}
		all[netguard.HostPort(u)] = true
		if scheme == "http" && u.Port() == "" {
			u.Scheme = "http"
			all[netguard.HostPort(u)] = true
		}
	}
	return all
}

// sharedDomains are those below which each registry is somebody else's, and
// which the public suffix list does not have.
func sharedDomains() []string {
	return []string{
		"azurecr.io", "azurecr.cn", "azurecr.us", "jfrog.io", "pkg.dev", "cloudsmith.io", "ocir.io", "icr.io",
		"aliyuncs.com", "amazonaws.com", "amazonaws.com.cn", "myhuaweicloud.com", "tencentcloudcr.com", "r2.dev",
	}
}

// sameDomain says whether two hosts belong to one organisation by their names.
func sameDomain(a, b string) bool {
	domainA, okA := registrable(a)
	domainB, okB := registrable(b)
	return okA && okB && domainA == domainB && !slices.Contains(sharedDomains(), domainA)
}

func registrable(hostPort string) (string, bool) {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil || strings.HasSuffix(host, ".") {
		return "", false
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", false
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	return domain, err == nil
}
