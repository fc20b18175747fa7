package summary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
)

// maxRefusal is how much is read of the answer of a service that refuses, in
// bytes.
const maxRefusal = 512

// unlimited turns off the limits of sigstore-go's clients, which know no
// context: the context's takes their place.
const unlimited = -1

// services chooses the services to ask. They are asked once: a promotion that
// fails is tried again as a whole, and not while others wait for their turn.
func (k Keyless) services(ctx context.Context) (sign.BundleOptions, error) {
	if k.SigningConfig != "" {
		return k.configured(ctx)
	}
	options := sign.BundleOptions{Context: ctx, CertificateProvider: fulcioAt(ctx, k.Fulcio)}
	if k.Rekor != "" {
		options.TransparencyLogs = []sign.Transparency{rekorAt(k.Rekor, 1)}
	}
	if k.Timestamp != "" {
		options.TimestampAuthorities = []*sign.TimestampAuthority{timestampsAt(ctx, k.Timestamp)}
	}
	return options, nil
}

// configured chooses by a signing configuration, as of now: it names services
// with the time that they are valid.
func (k Keyless) configured(ctx context.Context) (sign.BundleOptions, error) {
	c, err := root.NewSigningConfigFromPath(k.SigningConfig)
	if err != nil {
		return sign.BundleOptions{}, fmt.Errorf("read the signing configuration %s: %w", k.SigningConfig, err)
	}
	fulcio, err := root.SelectService(c.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, k.Now())
	if err != nil {
		return sign.BundleOptions{}, fmt.Errorf("%s: certificate authority: %w", k.SigningConfig, err)
	}
	options := sign.BundleOptions{Context: ctx, CertificateProvider: fulcioAt(ctx, fulcio.URL)}
	if logs := c.RekorLogURLs(); len(logs) > 0 {
		chosen, err := root.SelectServices(logs, c.RekorLogURLsConfig(), sign.RekorAPIVersions, k.Now())
		if err != nil {
			return options, fmt.Errorf("%s: transparency log: %w", k.SigningConfig, err)
		}
		for _, s := range chosen {
			options.TransparencyLogs = append(options.TransparencyLogs, rekorAt(s.URL, s.MajorAPIVersion))
		}
	}
	if authorities := c.TimestampAuthorityURLs(); len(authorities) > 0 {
		chosen, err := root.SelectServices(authorities, c.TimestampAuthorityURLsConfig(), sign.TimestampAuthorityAPIVersions, k.Now())
		if err != nil {
			return options, fmt.Errorf("%s: timestamp authority: %w", k.SigningConfig, err)
		}
		for _, s := range chosen {
			options.TimestampAuthorities = append(options.TimestampAuthorities, timestampsAt(ctx, s.URL))
		}
	}
	return options, nil
}

// fulcio names the service in errors.
type fulcio struct {
	sign.CertificateProvider

	url string
}

func fulcioAt(ctx context.Context, url string) fulcio {
	url = strings.TrimRight(url, "/")
	return fulcio{sign.NewFulcio(&sign.FulcioOptions{BaseURL: url, Timeout: unlimited, Transport: within(ctx)}), url}
}

// GetCertificate implements sign.CertificateProvider.
func (f fulcio) GetCertificate(ctx context.Context, key sign.Keypair, o *sign.CertificateProviderOptions) ([]byte, error) {
	der, err := f.CertificateProvider.GetCertificate(ctx, key, o)
	if err != nil {
		return nil, fmt.Errorf("ask Fulcio at %s for a certificate: %w", f.url, brief(err))
	}
	return der, nil
}

// rekor names the service in errors.
type rekor struct {
	sign.Transparency

	url string
}

func rekorAt(url string, version uint32) rekor {
	url = strings.TrimRight(url, "/")
	return rekor{sign.NewRekor(&sign.RekorOptions{BaseURL: url, Version: version, Timeout: unlimited}), url}
}

// GetTransparencyLogEntry implements sign.Transparency.
func (r rekor) GetTransparencyLogEntry(ctx context.Context, key []byte, b *protobundle.Bundle) error {
	if err := r.Transparency.GetTransparencyLogEntry(ctx, key, b); err != nil {
		return fmt.Errorf("log the signature in Rekor at %s: %w", r.url, brief(err))
	}
	return nil
}

func timestampsAt(ctx context.Context, url string) *sign.TimestampAuthority {
	send := within(ctx)
	return sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: url, Timeout: unlimited, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		response, err := send(r)
		if err != nil {
			return nil, fmt.Errorf("ask the timestamp authority: %w", err)
		}
		return response, nil
	})})
}

// roundTrip implements http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// within sends requests that end with ctx. sigstore-go's clients make theirs
// without a context, and of an answer 429 or 5xx they report only that its
// body is closed.
func within(ctx context.Context) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		response, err := http.DefaultTransport.RoundTrip(r.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		switch code := response.StatusCode; {
		case code < http.StatusBadRequest:
			return response, nil
		case code < http.StatusInternalServerError && code != http.StatusTooManyRequests:
			response.Body = struct {
				io.Reader
				io.Closer
			}{io.LimitReader(response.Body, maxRefusal), response.Body}
			return response, nil
		}
		text, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
		return nil, errors.Join(fmt.Errorf("answers %s: %s", response.Status, clean(string(text))), err, response.Body.Close())
	}
}

// brief bounds an error that quotes what a service answered.
func brief(err error) error {
	if text := err.Error(); len(text) > maxRefusal {
		return errors.New(clean(text))
	}
	return err
}
