package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
)

// manifestTypes are the media types that are asked for.
func manifestTypes() []string {
	return []string{
		string(types.OCIManifestSchema1), string(types.OCIImageIndex),
		string(types.DockerManifestSchema2), string(types.DockerManifestList),
	}
}

// shape is what of a manifest or index is looked at before anybody else does.
type shape struct {
	MediaType string          `json:"mediaType"`
	Config    json.RawMessage `json:"config"`
	Layers    json.RawMessage `json:"layers"`
	FSLayers  json.RawMessage `json:"fsLayers"`
	Manifests json.RawMessage `json:"manifests"`
}

// checkManifest refuses documents that one reader takes for a manifest and
// another for an index (GHSA-qq97-vm5h-rrhg, GHSA-mc8v-mgrf-8f4m), media types
// that are neither, lists that are too long, and content that is to be fetched
// from elsewhere.
func checkManifest(body []byte, mediaType, subject string, maxManifests int) error {
	var s shape
	if err := strictjson.Unmarshal(body, &s); err != nil {
		return fmt.Errorf("%w: %s: not the JSON of a manifest: %w", gatekeeper.ErrInvalidContent, subject, err)
	}
	if err := s.unambiguous(mediaType); err != nil {
		return fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, subject, err)
	}
	if err := ownContent(s.Config); err != nil {
		return fmt.Errorf("%w: %s: config: %w", gatekeeper.ErrInvalidContent, subject, err)
	}
	for _, list := range []struct {
		entries json.RawMessage
		unit    string
		limit   int
	}{{s.Layers, "layers", maxLayers}, {s.Manifests, "manifests", maxManifests}} {
		err := entries(list.entries, list.limit, ownContent)
		if errors.Is(err, errTooMany) {
			return &LimitError{Subject: subject, Limit: int64(list.limit), Unit: list.unit}
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %s: %w", gatekeeper.ErrInvalidContent, subject, list.unit, err)
		}
	}
	return nil
}

func (s shape) unambiguous(mediaType string) error {
	kind := types.MediaType(mediaType)
	switch {
	case !kind.IsImage() && !kind.IsIndex(), kind == types.DockerManifestSchema1, kind == types.DockerManifestSchema1Signed:
		return fmt.Errorf("media type %q is no manifest or index that is supported", clean(mediaType))
	case s.MediaType != "" && s.MediaType != mediaType:
		return fmt.Errorf("it is served as %q but calls itself %q", mediaType, clean(s.MediaType))
	case s.FSLayers != nil, s.Manifests != nil && s.Layers != nil:
		return errors.New("it is ambiguous: both a manifest and an index")
	case kind.IsIndex() && s.Manifests == nil:
		return errors.New("it is served as an index but lists no manifests")
	case kind.IsImage() && s.Manifests != nil:
		return errors.New("it is served as a manifest but is an index")
	}
	return nil
}

var errTooMany = errors.New("too many entries")

// entries hands each element of a JSON array to a function, one at a time: a
// list of a million takes no more memory than one of the limit. What is left
// out or null has none.
func entries(list json.RawMessage, limit int, each func(json.RawMessage) error) error {
	if len(list) == 0 || bytes.Equal(list, []byte("null")) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(list))
	if start, err := dec.Token(); err != nil || start != json.Delim('[') {
		return errors.Join(errors.New("is no list"), err)
	}
	for n := 0; dec.More(); n++ {
		if n == limit {
			return errTooMany
		}
		var entry json.RawMessage
		if err := dec.Decode(&entry); err != nil {
			return err
		}
		if err := each(entry); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// ownContent refuses a descriptor of content that is kept outside of the
// registry (OCI image-spec v1.1, descriptor.md "urls"; layer.md
// "Non-Distributable Layers"): nobody would know what a client gets, and a
// client that follows the URLs takes its credentials along (CVE-2020-15157).
func ownContent(descriptor json.RawMessage) error {
	if len(descriptor) == 0 {
		return nil
	}
	var d struct {
		MediaType string          `json:"mediaType"`
		Digest    string          `json:"digest"`
		URLs      json.RawMessage `json:"urls"`
	}
	if err := json.Unmarshal(descriptor, &d); err != nil {
		return err
	}
	urls := bytes.TrimSpace(d.URLs)
	empty := len(urls) == 0 || bytes.Equal(urls, []byte("null")) || bytes.Equal(urls, []byte("[]"))
	if !empty || strings.Contains(d.MediaType, "nondistributable") || strings.Contains(d.MediaType, "foreign") {
		return fmt.Errorf("the layer %s is to be fetched from elsewhere (foreign layers are not promoted)", clean(d.Digest))
	}
	return nil
}
