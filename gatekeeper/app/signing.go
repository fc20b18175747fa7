package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
)

// unsigned warns about a service that leaves no word of its own.
const unsigned = "no signing key is configured: golden images get no signed summary, and gatekeeper audit cannot tell them from others; set signing.key"

// maxPublicKey is the size of the largest public key file, in bytes.
const maxPublicKey = 64 << 10

// signing prepares what summaries are signed with. Signs is false when the
// configuration names nothing.
func (s *setup) signing(ctx context.Context) (_ promote.Signing, signs bool, err error) {
	if !s.config.Signs() {
		return promote.Signing{}, false, nil
	}
	c := *s.config.Signing
	signing := promote.Signing{Form: promote.Form(c.Form), Verifier: summary.Verifier{ID: s.verifierID(), Version: Version()}}
	if c.Keyless != nil {
		if signing.Signer, err = keylessSigner(*c.Keyless); err != nil {
			return promote.Signing{}, false, err
		}
		signing.Trust, err = trustKeyless(*c.Keyless)
		return signing, true, err
	}
	key, err := ownKey(ctx, c)
	if err != nil {
		return promote.Signing{}, false, err
	}
	signing.Signer = summary.KeySigner{Key: key}
	if signing.Trust, err = summary.NewTrust([][]byte{key.PublicKeyPEM()}, nil); err != nil {
		return promote.Signing{}, false, fmt.Errorf("signing.key: %w", err)
	}
	if err := summary.Probe(ctx, signing.Signer, signing.Trust); err != nil {
		return promote.Signing{}, false, fmt.Errorf("signing.key: %w", err)
	}
	return signing, true, nil
}

func (s *setup) verifierID() string {
	if s.config.Signing == nil || s.config.Signing.VerifierID == "" {
		return summary.DefaultVerifier
	}
	return s.config.Signing.VerifierID
}

func ownKey(ctx context.Context, c config.Signing) (*keys.Signer, error) {
	password, err := c.Password()
	if err != nil {
		return nil, fmt.Errorf("signing.%w", err)
	}
	key, err := keys.Load(ctx, keys.Reference{Key: c.Key, Password: []byte(password)})
	if err != nil {
		return nil, fmt.Errorf("signing.key: %w", err)
	}
	return key, nil
}

// trust lists whose summaries an audit accepts: what signs now, and the
// further keys.
func (s *setup) trust(ctx context.Context) (*summary.Trust, error) {
	c := s.config.Signing
	if c == nil {
		return nil, fmt.Errorf("there is no key to verify summaries with: set signing.key or signing.publicKeys")
	}
	var all [][]byte
	if c.Key != "" {
		key, err := ownKey(ctx, *c)
		if err != nil {
			return nil, err
		}
		all = append(all, key.PublicKeyPEM())
	}
	for _, file := range c.PublicKeys {
		text, err := readPublicKey(file)
		if err != nil {
			return nil, fmt.Errorf("signing.publicKeys: %w", err)
		}
		all = append(all, text)
	}
	if c.Keyless == nil {
		return newTrust(all, nil)
	}
	identity, err := keylessIdentity(*c.Keyless)
	if err != nil {
		return nil, err
	}
	return newTrust(all, &identity)
}

func newTrust(all [][]byte, identity *summary.Identity) (*summary.Trust, error) {
	t, err := summary.NewTrust(all, identity)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return t, nil
}

func readPublicKey(file string) (_ []byte, err error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, maxPublicKey+1))
	if err == nil && len(text) > maxPublicKey {
		err = fmt.Errorf("%s has more than %d bytes; it is no key", file, maxPublicKey)
	}
	return text, err
}

// keylessSigner reads the signing configuration once, to notice now that it
// cannot be read. The token may come later.
func keylessSigner(k config.Keyless) (summary.Keyless, error) {
	if k.SigningConfigFile != "" {
		if _, err := root.NewSigningConfigFromPath(k.SigningConfigFile); err != nil {
			return summary.Keyless{}, fmt.Errorf("signing.keyless.signingConfigFile: %w", err)
		}
	}
	return summary.Keyless{
		Fulcio: k.FulcioURL, Rekor: k.RekorURL, Timestamp: k.TimestampURL, SigningConfig: k.SigningConfigFile,
		TokenFile: k.IdentityTokenFile, Now: time.Now,
	}, nil
}

func trustKeyless(k config.Keyless) (*summary.Trust, error) {
	identity, err := keylessIdentity(k)
	if err != nil {
		return nil, err
	}
	return newTrust(nil, &identity)
}

func keylessIdentity(k config.Keyless) (summary.Identity, error) {
	trusted, err := root.NewTrustedRootFromPath(k.TrustedRootFile)
	if err != nil {
		return summary.Identity{}, fmt.Errorf("signing.keyless.trustedRootFile: %w", err)
	}
	return summary.Identity{Root: trusted, Issuer: k.Issuer, Subject: k.Identity}, nil
}
