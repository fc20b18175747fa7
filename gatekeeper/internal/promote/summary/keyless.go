package summary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
)

// maxToken is the size of the largest identity token, in bytes.
const maxToken = 64 << 10

// serviceTries is how often a service of Sigstore is asked again when it fails.
const serviceTries = 2

// Keyless signs with a key for one signature, which a certificate binds to the
// identity of a token.
type Keyless struct {
	// Fulcio issues the certificate; Rekor (version 1) logs the signature,
	// and Timestamp says when it was made. Rekor or Timestamp may be empty.
	Fulcio, Rekor, Timestamp string // URLs
	// SigningConfig names the services instead of the URLs, in a file of
	// that format of Sigstore's; needed for version 2 of Rekor.
	SigningConfig string
	// TokenFile holds an OpenID Connect token. It is read anew each time.
	TokenFile string
	Now       func() time.Time
}

// Sign implements Signer.
func (k Keyless) Sign(ctx context.Context, statement []byte) ([]byte, error) {
	token, err := k.token()
	if err != nil {
		return nil, fmt.Errorf("sign the summary: read the identity token: %w", err)
	}
	options, err := k.services()
	if err != nil {
		return nil, fmt.Errorf("sign the summary: %w", err)
	}
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, fmt.Errorf("sign the summary: %w", err)
	}
	options.Context = ctx
	options.CertificateProviderOptions = &sign.CertificateProviderOptions{IDToken: token}
	return bundled(statement, key, options)
}

func (k Keyless) token() (_ string, err error) {
	f, err := os.Open(filepath.Clean(k.TokenFile))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, maxToken))
	return strings.TrimSpace(string(text)), err
}

// services chooses the services to ask.
func (k Keyless) services() (sign.BundleOptions, error) {
	if k.SigningConfig != "" {
		return k.configured()
	}
	options := sign.BundleOptions{CertificateProvider: sign.NewFulcio(&sign.FulcioOptions{BaseURL: k.Fulcio, Retries: serviceTries})}
	if k.Rekor != "" {
		options.TransparencyLogs = []sign.Transparency{sign.NewRekor(&sign.RekorOptions{BaseURL: k.Rekor, Retries: serviceTries})}
	}
	if k.Timestamp != "" {
		options.TimestampAuthorities = []*sign.TimestampAuthority{timestamps(k.Timestamp)}
	}
	return options, nil
}

func timestamps(url string) *sign.TimestampAuthority {
	return sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: url, Retries: serviceTries})
}

// configured chooses by a signing configuration, as of now: it names services
// with the time that they are valid.
func (k Keyless) configured() (sign.BundleOptions, error) {
	c, err := root.NewSigningConfigFromPath(k.SigningConfig)
	if err != nil {
		return sign.BundleOptions{}, fmt.Errorf("read the signing configuration %s: %w", k.SigningConfig, err)
	}
	fulcio, err := root.SelectService(c.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, k.Now())
	if err != nil {
		return sign.BundleOptions{}, fmt.Errorf("certificate authority: %w", err)
	}
	options := sign.BundleOptions{CertificateProvider: sign.NewFulcio(&sign.FulcioOptions{BaseURL: fulcio.URL, Retries: serviceTries})}
	if logs := c.RekorLogURLs(); len(logs) > 0 {
		chosen, err := root.SelectServices(logs, c.RekorLogURLsConfig(), sign.RekorAPIVersions, k.Now())
		if err != nil {
			return options, fmt.Errorf("transparency log: %w", err)
		}
		for _, s := range chosen {
			options.TransparencyLogs = append(options.TransparencyLogs,
				sign.NewRekor(&sign.RekorOptions{BaseURL: s.URL, Retries: serviceTries, Version: s.MajorAPIVersion}))
		}
	}
	if authorities := c.TimestampAuthorityURLs(); len(authorities) > 0 {
		chosen, err := root.SelectServices(authorities, c.TimestampAuthorityURLsConfig(), sign.TimestampAuthorityAPIVersions, k.Now())
		if err != nil {
			return options, fmt.Errorf("timestamp authority: %w", err)
		}
		for _, s := range chosen {
			options.TimestampAuthorities = append(options.TimestampAuthorities, timestamps(s.URL))
		}
	}
	return options, nil
}
