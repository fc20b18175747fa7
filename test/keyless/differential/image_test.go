package differential_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

// object is what is signed.
type object int

const (
	image object = iota
	index
	child // of an index
)

// String is the object's name.
func (o object) String() string { return [...]string{"image", "index", "child"}[o] }

// push pushes an object and returns its reference by digest, and that of what
// it is a part of or has as a part, where there is such a thing.
func push(t *testing.T, o object, host, repository string) (it, relative string) {
	t.Helper()
	if o == image {
		return sigstore.PushImage(t, host, repository), ""
	}
	whole, part := pushIndex(t, host, repository)
	if o == child {
		return part, whole
	}
	return whole, part
}

// pushIndex pushes an index of two platforms, tagged v1, and returns its
// reference and that of one child.
func pushIndex(t *testing.T, host, repository string) (whole, part string) {
	t.Helper()
	tag, err := name.NewTag(host + "/" + repository + ":v1")
	if err != nil {
		t.Fatal(err)
	}
	var children []mutate.IndexAddendum
	for _, architecture := range []string{"amd64", "arm64"} {
		made, err := random.Image(512, 1)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := made.Digest()
		if err != nil {
			t.Fatal(err)
		}
		part = tag.Context().Digest(digest.String()).String()
		children = append(children, mutate.IndexAddendum{Add: made, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}})
	}
	all := mutate.AppendManifests(empty.Index, children...)
	if err := remote.WriteIndex(tag, all, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	digest, err := all.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return tag.Context().Digest(digest.String()).String(), part
}
