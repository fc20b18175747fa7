// Package cosignkey makes and uses key pairs in cosign's format: for the
// one-machine default, and to sign the samples of the demonstration as the
// cosign client does.
package cosignkey

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"
)

// Pair is a key pair in PEM; the private key is encrypted with the password.
type Pair struct{ Private, Public []byte }

// Generate makes an ECDSA P-256 key pair, as cosign generate-key-pair does.
func Generate(password []byte) (Pair, error) {
	keys, err := cosign.GenerateKeyPair(func(bool) ([]byte, error) { return password, nil })
	if err != nil {
		return Pair{}, fmt.Errorf("generate a cosign key pair: %w", err)
	}
	return Pair{Private: keys.PrivateBytes, Public: keys.PublicBytes}, nil
}

// Load decrypts a private key.
func Load(private, password []byte) (signature.SignerVerifier, error) {
	signer, err := cosign.LoadPrivateKey(private, password, nil)
	if err != nil {
		return nil, fmt.Errorf("load the cosign key: %w", err)
	}
	return signer, nil
}

// Sign adds a signature to the tag of cosign's older form, next to those that
// are there, like cosign sign --tlog-upload=false.
func Sign(ctx context.Context, image name.Digest, signer signature.Signer, opts ...remote.Option) error {
	message, err := payload.Cosign{Image: image}.MarshalJSON()
	if err != nil {
		return fmt.Errorf("sign %s: %w", image, err)
	}
	sig, err := signer.SignMessage(bytes.NewReader(message))
	if err != nil {
		return fmt.Errorf("sign %s: %w", image, err)
	}
	tag := image.Tag(strings.Replace(image.DigestStr(), ":", "-", 1) + ".sig")
	opts = append(opts, remote.WithContext(ctx))
	base, err := existing(tag, opts)
	if err != nil {
		return fmt.Errorf("read the signatures of %s: %w", image, err)
	}
	signed, err := mutate.Append(base, mutate.Addendum{
		Layer:       static.NewLayer(message, "application/vnd.dev.cosign.simplesigning.v1+json"),
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(sig)},
	})
	if err != nil {
		return fmt.Errorf("sign %s: %w", image, err)
	}
	if err := remote.Write(tag, signed, opts...); err != nil {
		return fmt.Errorf("push the signature of %s: %w", image, err)
	}
	return nil
}

// existing returns the signatures that are there, or an empty image for them.
func existing(tag name.Tag, opts []remote.Option) (v1.Image, error) {
	img, err := remote.Image(tag, opts...)
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), nil
	}
	return img, err
}
