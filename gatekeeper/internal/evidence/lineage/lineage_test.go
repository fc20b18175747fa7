package lineage_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/lineage"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// asked is a record that remembers what it was asked.
type asked struct {
	queries []gatekeeper.BaseQuery
	err     error
}

func (a *asked) Lineage(_ context.Context, q gatekeeper.BaseQuery) (policy.Lineage, error) {
	a.queries = append(a.queries, q)
	return policy.Lineage{Golden: q.Claimed}, a.err
}

func digest(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

func TestEveryClaimedDigestIsAskedForOnce(t *testing.T) {
	t.Parallel()
	const key = "org.opencontainers.image.base.digest"
	p := policy.Platform{
		Layers: []policy.Layer{{MediaType: "application/vnd.oci.image.layer.v1.tar", Digest: digest("a"), DiffID: digest("b")}},
		Labels: map[string]string{key: digest("3"), "io.openshift.build.image": "base/debian@" + digest("1")}, Annotations: map[string]string{key: digest("3")},
	}
	a := new(asked)
	_, err := lineage.New(a).FindBases(t.Context(), policy.Image{Annotations: map[string]string{key: "sha256:nonsense"}}, p)
	if err != nil {
		t.Fatal(err)
	}
	want := []gatekeeper.BaseQuery{{
		Layers: gatekeeper.LayerChains{Digests: []string{digest("a")}, DiffIDs: []string{digest("b")}}, Claimed: []string{digest("1"), digest("3")},
	}}
	if diff := cmp.Diff(want, a.queries); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An image without layers is built on nothing; that nobody answers is another
// matter.
func TestNothingToAskFor(t *testing.T) {
	t.Parallel()
	a := &asked{err: errors.New("the disk is full")}
	f := lineage.New(a)
	if l, err := f.FindBases(t.Context(), policy.Image{}, policy.Platform{}); err != nil || l.Bases == nil || len(a.queries) > 0 {
		t.Errorf("%+v, %v after %d questions", l, err, len(a.queries))
	}
	p := policy.Platform{Labels: map[string]string{"org.opencontainers.image.base.digest": digest("1")}}
	if _, err := f.FindBases(t.Context(), policy.Image{}, p); !errors.Is(err, a.err) {
		t.Errorf("%v", err)
	}
}
