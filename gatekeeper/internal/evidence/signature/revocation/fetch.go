package revocation

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/crypto/ocsp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/netguard"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/plain"
)

// read gets what a place has to say, whole. A list holds one of few slots,
// which release gives back.
func (c *Client) read(ctx context.Context, p place, certificate, issuer *x509.Certificate) ([]byte, error) {
	if p.kind == responder {
		// SHA-1 only finds the certificate here, and other hashes are not
		// understood by many responders (RFC 5019, section 2.1.1).
		question, err := ocsp.CreateRequest(certificate, issuer, nil)
		if err != nil {
			return nil, fmt.Errorf("make the request: %w", err)
		}
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		return c.fetch(ctx, http.MethodPost, p.url, question, maxResponse)
	}
	select {
	case c.lists <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, 3*c.timeout)
	defer cancel()
	body, err := c.fetch(ctx, http.MethodGet, p.url, nil, maxList)
	if err != nil {
		c.release(p)
	}
	return body, err
}

// release gives back what read holds after it succeeded.
func (c *Client) release(p place) {
	if p.kind == list {
		<-c.lists
	}
}

func (c *Client) fetch(ctx context.Context, method string, u *url.URL, question []byte, limit int64) (data []byte, err error) {
	// The dialer sees no address that a proxy connects to.
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := c.check(netguard.HostPort(u), netguard.Plain(ip)); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/ocsp-request") // RFC 6960, appendix A.1
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered with HTTP status %d", resp.StatusCode)
	}
	var body bytes.Buffer
	n, err := io.Copy(&body, io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read its answer: %w", withoutURL(err))
	case n > limit:
		return nil, fmt.Errorf("its answer has more than %d bytes, which is the limit", limit)
	}
	return body.Bytes(), nil
}

// withoutURL leaves out what the message around it says better.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time (%w)", err)
	}
	return err
}

// sameHost follows redirects within one host and port. Others could lead the
// request to where the certificate does not.
func sameHost(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > 2:
		return errors.New("more than 2 redirects")
	case req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.User != nil || !strings.EqualFold(req.URL.Host, via[0].URL.Host):
		return fmt.Errorf("a redirect to %s is not followed", clean(req.URL.Host))
	case req.Method != via[0].Method:
		return errors.New("a redirect that loses the request is not followed")
	}
	return nil
}

// clean makes a text out of a certificate safe to show, and bounds it.
func clean(s string) string { return plain.Line(s, 150) }
