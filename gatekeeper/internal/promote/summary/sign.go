package summary

import (
	"context"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"
)

// BundleType is the media type of the Sigstore bundles that are written
// (sigstore/protobuf-specs, sigstore_bundle.proto, version 0.3).
const BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// Signer signs statements.
type Signer interface {
	// Sign returns a Sigstore bundle, in JSON, with the statement in a DSSE
	// envelope.
	Sign(ctx context.Context, statement []byte) ([]byte, error)
}

// KeySigner signs with a key that lasts. Its bundles need no transparency log.
type KeySigner struct{ Key sign.Keypair }

// Sign implements Signer.
func (s KeySigner) Sign(ctx context.Context, statement []byte) ([]byte, error) {
	return bundled(statement, s.Key, sign.BundleOptions{Context: ctx})
}

func bundled(statement []byte, key sign.Keypair, o sign.BundleOptions) ([]byte, error) {
	b, err := sign.Bundle(&sign.DSSEData{Data: statement, PayloadType: PayloadType}, key, o)
	if err != nil {
		return nil, fmt.Errorf("sign the summary: %w", err)
	}
	text, err := protojson.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode the signed summary: %w", err)
	}
	return text, nil
}
