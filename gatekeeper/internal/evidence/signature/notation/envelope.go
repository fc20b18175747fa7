package notation

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/notaryproject/notation-core-go/signature"
	notationcose "github.com/notaryproject/notation-core-go/signature/cose"
	notationjws "github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/veraison/go-cose"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
)

// MaxEnvelope is the largest envelope, in bytes. Real ones have a few
// kilobytes, with a time stamp about ten.
const MaxEnvelope = 1 << 20

const (
	maxChain       = 10       // certificates in one chain
	maxCertificate = 16 << 10 // bytes of one certificate
	maxAttributes  = 32       // attributes that the signer added
	knownHeaders   = 7        // protected headers that the specification knows
	maxRSABits     = 8192     // as in crypto/tls: larger keys cost seconds
)

// outline is what is looked at before anything costly is done for whoever
// wrote the envelope.
type outline struct {
	chain   [][]byte // DER, the signing certificate first
	headers int      // protected headers
}

// open reads an envelope and verifies its signature with the first
// certificate of its own chain. Who that is, is not asked here.
func open(envelope []byte, mediaType string) (*signature.EnvelopeContent, error) {
	if len(envelope) > MaxEnvelope {
		return nil, fail(ErrMalformed, fmt.Errorf("%d bytes; the limit is %d", len(envelope), MaxEnvelope))
	}
	look, parse := outlineJWS, notationjws.ParseEnvelope
	switch mediaType {
	case MediaTypeJWS:
	case MediaTypeCOSE:
		look, parse = outlineCOSE, notationcose.ParseEnvelope
	default:
		return nil, fail(ErrMalformed, fmt.Errorf("an envelope of the unknown media type %q", mediaType))
	}
	seen, err := look(envelope)
	if err != nil {
		return nil, fail(ErrMalformed, err)
	}
	if err := seen.check(); err != nil {
		return nil, err
	}
	parsed, err := parse(envelope)
	if err != nil {
		return nil, fail(ErrMalformed, err)
	}
	content, err := parsed.Verify()
	if err != nil {
		return nil, fail(ErrInvalid, err)
	}
	return content, nil
}

// outlineJWS reads the flattened JSON serialization (RFC 7515, section 7.2.2;
// Notary Project, signature-envelope-jws.md). Go takes the last of two equal
// keys and ignores their case; so neither may be there, inside or outside.
func outlineJWS(envelope []byte) (outline, error) {
	var jws struct {
		Payload   string `json:"payload"`
		Protected string `json:"protected"`
		Header    struct {
			Chain [][]byte `json:"x5c"`
		} `json:"header"`
	}
	if err := strictjson.Unmarshal(envelope, &jws); err != nil {
		return outline{}, fmt.Errorf("the envelope: %w", err)
	}
	var headers, payload map[string]json.RawMessage
	if err := decodePart(jws.Protected, &headers); err != nil {
		return outline{}, fmt.Errorf("the protected header: %w", err)
	}
	if err := decodePart(jws.Payload, &payload); err != nil {
		return outline{}, fmt.Errorf("the payload: %w", err)
	}
	return outline{chain: jws.Header.Chain, headers: len(headers)}, nil
}

func decodePart(encoded string, v any) error {
	data, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	return strictjson.Unmarshal(data, v)
}

// outlineCOSE reads a COSE_Sign1 object (RFC 9052, section 4.2; Notary
// Project, signature-envelope-cose.md). go-cose refuses double keys, bytes
// after the object, and more than 32 levels.
func outlineCOSE(envelope []byte) (outline, error) {
	var message cose.Sign1Message
	if err := message.UnmarshalCBOR(envelope); err != nil {
		return outline{}, fmt.Errorf("the envelope: %w", err)
	}
	list, ok := message.Headers.Unprotected[cose.HeaderLabelX5Chain].([]any)
	if !ok {
		return outline{}, errors.New("there is no certificate chain")
	}
	out := outline{headers: len(message.Headers.Protected)}
	for _, entry := range list {
		der, ok := entry.([]byte)
		if !ok {
			return outline{}, errors.New("the certificate chain holds something else")
		}
		out.chain = append(out.chain, der)
	}
	return out, nil
}

// check bounds what verifying will cost, before the first signature is looked
// at: the keys come from whoever wrote the envelope.
func (o outline) check() error {
	if o.headers > knownHeaders+maxAttributes {
		return fail(ErrInvalid, fmt.Errorf("%d protected headers; the limit is %d", o.headers, knownHeaders+maxAttributes))
	}
	if len(o.chain) == 0 || len(o.chain) > maxChain {
		return fail(ErrInvalid, fmt.Errorf("a chain of %d certificates; it must have 1 to %d", len(o.chain), maxChain))
	}
	for i, der := range o.chain {
		if len(der) > maxCertificate {
			return fail(ErrInvalid, fmt.Errorf("certificate %d has %d bytes; the limit is %d", i+1, len(der), maxCertificate))
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fail(ErrMalformed, fmt.Errorf("certificate %d: %w", i+1, err))
		}
		if err := affordable(c); err != nil {
			return fail(ErrInvalid, fmt.Errorf("certificate %d: %w", i+1, err))
		}
	}
	return nil
}

// affordable returns an error for keys that no authority uses and that take
// long to verify with.
func affordable(c *x509.Certificate) error {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits > maxRSABits {
			return fmt.Errorf("an RSA key of %d bits; the limit is %d", bits, maxRSABits)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey: // their sizes are fixed
	default:
		return fmt.Errorf("a key of the unsupported kind %s", c.PublicKeyAlgorithm)
	}
	return nil
}
