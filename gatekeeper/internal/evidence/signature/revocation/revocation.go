// Package revocation asks certificate authorities whether they revoked a
// certificate: the OCSP responder that the certificate names first (RFC 6960),
// then its revocation lists (RFC 5280, section 5).
//
// notation-core-go does the same but reads the clock itself, accepts an OCSP
// response by any certificate of the authority, the revoked one included, and
// a list of another distribution point.
//
// Only addresses in certificates are contacted, by http or https, never this
// machine or a link-local address, without credentials and with no redirect
// to another host. Answers are kept in memory and nowhere else, so that no
// cache can fail.
package revocation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/netguard"
)

// The limits of what is read, in bytes. An OCSP response has one to four
// kilobytes, more with a chain of certificates. The largest lists of public
// authorities have less than 16 MiB.
const (
	maxResponse = 64 << 10
	maxList     = 32 << 20
)

// How long answers are kept.
const (
	maxKept    = time.Hour   // however long the authority says that they hold
	failedKept = time.Minute // that there was none
)

// listsAtATime bounds the memory that revocation lists take together.
const listsAtATime = 2

// Options set up a Client.
type Options struct {
	Now func() time.Time // required
	// Timeout is for one response; a list may take three times as long. 10s
	// when zero.
	Timeout time.Duration
	// Check returns an error for addresses that are not connected to. Check
	// of this package when nil.
	Check func(hostPort string, ip netip.Addr) error
}

// Client asks authorities and remembers what they said. It is safe for
// concurrent use.
type Client struct {
	now     func() time.Time
	timeout time.Duration
	check   func(hostPort string, ip netip.Addr) error
	http    *http.Client
	turns   turns
	lists   chan struct{}
	cache   cache
}

// New returns a client. Its connections are closed after each request.
func New(o Options) *Client {
	if o.Check == nil {
		o.Check = Check
	}
	c := &Client{
		now: o.Now, timeout: cmp.Or(o.Timeout, 10*time.Second), check: o.Check,
		turns: newTurns(), lists: make(chan struct{}, listsAtATime), cache: cache{now: o.Now},
	}
	d := &netguard.Dialer{Check: o.Check}
	c.http = &http.Client{
		CheckRedirect: sameHost,
		Transport: &http.Transport{
			Proxy: d.Proxy, DialContext: d.DialContext, DisableKeepAlives: true, DisableCompression: true,
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
	}
	return c
}

// Check allows every address but those of this machine and of one link. Private
// ones are where companies have their authorities.
func Check(hostPort string, ip netip.Addr) error {
	switch {
	case ip.IsLoopback():
		return fmt.Errorf("%s is this machine, where nothing is asked", hostPort)
	case netguard.NeverAsked(ip):
		return fmt.Errorf("%s is a link-local or reserved address, where nothing is asked", hostPort)
	}
	return nil
}

// UnknownError says that nobody could tell whether a certificate is revoked.
type UnknownError struct {
	Subject string
	Reasons []error // one for each place that was asked
}

// Error names the hosts that were asked, and what to do.
func (e *UnknownError) Error() string {
	if len(e.Reasons) == 0 {
		return fmt.Sprintf("whether the certificate of %q is revoked is not known: it names no OCSP responder or revocation list with an http or https URL", e.Subject)
	}
	var texts []string
	for _, r := range e.Reasons {
		texts = append(texts, r.Error())
	}
	return fmt.Sprintf("whether the certificate of %q is revoked is not known: %s; let this service reach the authority, and see that it answers",
		e.Subject, strings.Join(texts, "; "))
}

// Unwrap returns the reasons.
func (e *UnknownError) Unwrap() []error { return e.Reasons }

// verdict is what an authority says, and until when it holds.
type verdict struct {
	revoked bool
	until   time.Time
}

// Revoked says whether the issuer has revoked the certificate. The error is an
// *UnknownError, or the context's.
func (c *Client) Revoked(ctx context.Context, certificate, issuer *x509.Certificate) (bool, error) {
	unknown := &UnknownError{Subject: clean(certificate.Subject.String())}
	for _, p := range places(certificate) {
		v, err := c.ask(ctx, p, certificate, issuer)
		if err == nil {
			return v.revoked, nil
		}
		unknown.Reasons = append(unknown.Reasons, fmt.Errorf("the %s at %s: %w", p.kind, clean(p.url.Host), err))
		if ctx.Err() != nil {
			return false, errors.Join(unknown, ctx.Err())
		}
	}
	return false, unknown
}

// ask answers from memory, or asks one place. At any time there is one request
// for a URL: who waits for it finds its answer in memory.
func (c *Client) ask(ctx context.Context, p place, certificate, issuer *x509.Certificate) (verdict, error) {
	address := key(p.url.String(), nil, nil)
	mine := key(p.url.String(), certificate, issuer)
	done, err := c.turns.wait(ctx, address)
	if err != nil {
		return verdict{}, err
	}
	defer done()
	for _, k := range []cacheKey{mine, address} {
		if e, ok := c.cache.get(k); ok {
			return e.verdict, e.err
		}
	}
	body, err := c.read(ctx, p, certificate, issuer)
	if err != nil {
		if ctx.Err() == nil {
			c.cache.put(address, entry{err: err, until: c.now().Add(failedKept)})
		}
		return verdict{}, err
	}
	defer c.release(p)
	v, err := c.judge(p, body, certificate, issuer)
	if err != nil {
		c.cache.put(mine, entry{err: err, until: c.now().Add(failedKept)})
		return verdict{}, err
	}
	until := c.now().Add(maxKept)
	if v.until.Before(until) {
		until = v.until
	}
	c.cache.put(mine, entry{verdict: v, until: until})
	return v, nil
}

// judge reads an answer. A crash in a decoder says nothing about the
// certificate and must not end the process.
func (c *Client) judge(p place, body []byte, certificate, issuer *x509.Certificate) (v verdict, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = verdict{}, fmt.Errorf("its answer crashed the decoder: %v", r)
		}
	}()
	if p.kind == responder {
		return readResponse(body, certificate, issuer, c.now())
	}
	return readList(body, p.names, certificate, issuer, c.now())
}

func key(url string, certificate, issuer *x509.Certificate) cacheKey {
	k := cacheKey{url: sha256.Sum256([]byte(url))}
	if certificate != nil {
		k.certificate, k.issuer = sha256.Sum256(certificate.Raw), sha256.Sum256(issuer.Raw)
	}
	return k
}
