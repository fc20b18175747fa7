package netguard

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Dialer connects where Check has seen the address. It is safe for concurrent
// use; Check is called concurrently, with Plain addresses.
type Dialer struct {
	// Check returns an error for an address that the host and port must not
	// lead to.
	Check func(hostPort string, ip netip.Addr) error

	proxies sync.Map // by host:port: what the environment names, and is not checked
}

// Proxy is for http.Transport: the proxy that the environment names, which may
// be anywhere.
func (d *Dialer) Proxy(req *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(req)
	if u != nil {
		d.proxies.Store(HostPort(u), true)
	}
	return u, err
}

// DialContext is for http.Transport.
func (d *Dialer) DialContext(ctx context.Context, network, hostPort string) (net.Conn, error) {
	hostPort = strings.ToLower(hostPort)
	base := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if _, ok := d.proxies.Load(hostPort); !ok {
		base.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("address %s: %w", address, err)
			}
			return d.Check(hostPort, Plain(to.Addr()))
		}
	}
	return base.DialContext(ctx, network, hostPort)
}

// HostPort is a URL's host in lower case with its port, the scheme's when it
// names none.
func HostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
