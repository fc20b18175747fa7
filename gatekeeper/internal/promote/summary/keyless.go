package summary

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/sign"
)

// maxToken is the size of the largest identity token, in bytes.
const maxToken = 64 << 10

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

// Sign implements Signer. An error names the service that failed; there is no
// limit but ctx's.
func (k Keyless) Sign(ctx context.Context, statement []byte) ([]byte, error) {
	token, err := k.token()
	if err != nil {
		return nil, fmt.Errorf("sign the summary: identity token: %w", err)
	}
	options, err := k.services(ctx)
	if err != nil {
		return nil, fmt.Errorf("sign the summary: %w", err)
	}
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, fmt.Errorf("sign the summary: %w", err)
	}
	options.CertificateProviderOptions = &sign.CertificateProviderOptions{IDToken: token}
	return bundled(statement, key, options)
}

// token reads the token. One that has expired is told from one that Fulcio
// does not like: the former is the trouble of whatever renews the file.
func (k Keyless) token() (_ string, err error) {
	f, err := os.Open(filepath.Clean(k.TokenFile))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxToken {
		return "", fmt.Errorf("%s has more than %d bytes", k.TokenFile, maxToken)
	}
	token := strings.TrimSpace(string(text))
	switch expiry, ok := expires(token); {
	case !ok:
		return "", fmt.Errorf("%s holds no JSON Web Token", k.TokenFile)
	case !expiry.IsZero() && !k.Now().Before(expiry):
		return "", fmt.Errorf("the one in %s expired at %s and was not renewed", k.TokenFile, expiry.UTC().Format(time.RFC3339))
	}
	return token, nil
}

// expires reads the claim exp of a token (RFC 7519, section 4.1.4); zero when
// there is none. Nothing is verified.
func expires(token string) (expiry time.Time, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Expiry float64 `json:"exp"` // seconds; fractions are allowed
	}
	if err := json.Unmarshal(text, &claims); err != nil {
		return time.Time{}, false
	}
	if claims.Expiry == 0 {
		return time.Time{}, true
	}
	return time.Unix(int64(claims.Expiry), 0), true
}
