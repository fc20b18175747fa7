package notation

import (
	"errors"
	"fmt"

	"github.com/notaryproject/notation-core-go/signature"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
)

// typePayload is the type of what is signed (Notary Project, signature
// specification, "Payload").
const typePayload = "application/vnd.cncf.notary.payload.v1+json"

// about returns an error unless what is signed speaks about the subject. Type
// and size count as well as the digest: they decide how the bytes are read.
func about(payload signature.Payload, subject gatekeeper.Descriptor) error {
	if payload.ContentType != typePayload {
		return fail(ErrMalformed, fmt.Errorf("a payload of the type %q", payload.ContentType))
	}
	var signed struct {
		Target *struct {
			MediaType string `json:"mediaType"`
			Digest    string `json:"digest"`
			Size      int64  `json:"size"`
		} `json:"targetArtifact"`
	}
	if err := strictjson.Unmarshal(payload.Content, &signed); err != nil {
		return fail(ErrMalformed, fmt.Errorf("the payload: %w", err))
	}
	if signed.Target == nil {
		return fail(ErrMalformed, errors.New("the payload names no targetArtifact"))
	}
	switch t := signed.Target; {
	case t.Digest != subject.Digest:
		return fail(ErrInvalid, fmt.Errorf("signed was %q, not %s", t.Digest, subject.Digest))
	case t.Size != subject.Size:
		return fail(ErrInvalid, fmt.Errorf("signed were %d bytes, not %d", t.Size, subject.Size))
	case t.MediaType != subject.MediaType:
		return fail(ErrInvalid, fmt.Errorf("signed was a %q, not a %s", t.MediaType, subject.MediaType))
	}
	return nil
}

// The attributes by which a signer demands a program of the verifier's host
// (Notary Project, plugin-extensibility.md).
const (
	attributePlugin        = "io.cncf.notary.verificationPlugin"
	attributePluginVersion = "io.cncf.notary.verificationPluginMinVersion"
)

// checkAttributes refuses what must be understood to trust the signature but
// is not: a plugin, which never runs here, or any other critical attribute.
func checkAttributes(attributes []signature.Attribute) error {
	if len(attributes) > maxAttributes {
		return fail(ErrInvalid, fmt.Errorf("%d signed attributes; the limit is %d", len(attributes), maxAttributes))
	}
	for _, a := range attributes {
		switch {
		case a.Key == attributePlugin || a.Key == attributePluginVersion:
			return fail(ErrInvalid, fmt.Errorf("it asks for the verification plugin %q; plugins are not run", fmt.Sprint(a.Value)))
		case a.Critical:
			return fail(ErrInvalid, fmt.Errorf("the critical attribute %q is not known", fmt.Sprint(a.Key)))
		}
	}
	return nil
}
