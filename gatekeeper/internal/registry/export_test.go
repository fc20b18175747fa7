package registry

import (
	"context"
	"io"
	"net/http"
	"net/netip"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/netguard"
)

// CheckRealm says whether a realm may get the credentials of a registry, for
// tests of names that lead nowhere.
func CheckRealm(s Settings, realm string) error {
	c, err := newClient(s, Deps{})
	if err != nil {
		return err
	}
	_, err = c.checkRealm(realm)
	return err
}

// CheckTokenServer says whether a token server may be at an address.
func CheckTokenServer(s Settings, hostPort, address string) error {
	c, err := newClient(s, Deps{})
	if err != nil {
		return err
	}
	return c.checkTokenServer(hostPort, netguard.Plain(netip.MustParseAddr(address)))
}

// Challenge is what is understood of a WWW-Authenticate header.
func Challenge(header http.Header) (scheme, realm, service string) {
	c := challengeOf(header)
	return c.scheme, c.realm, c.service
}

// Waiting counts the callers that take part in fetches.
func Waiting(r *Registries) int {
	return waiting(&r.readingManifests) + waiting(&r.readingBlobs)
}

func waiting[V any](f *flight[V]) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		n += c.waiting
	}
	return n
}

// Continue goes on with an upload that a registry began at a place.
func Continue(ctx context.Context, r *Registries, repo Repository, d gatekeeper.Descriptor, body io.Reader, location string) error {
	return r.PushBlob(ctx, repo, d, body, &Upload{location: location})
}
