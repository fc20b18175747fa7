package journal_test

import (
	"context"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Where counting takes long, counts are told that were made before; a question
// that cannot be answered is no zero.
func TestCountingGoldenImagesHoldsUpNoScrape(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	j := open(t, location, deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	p := pushed(t, j, "v1", digest("a"))
	d := decide(t, j, p, policy.VerdictPromoted, "services")
	ref := gatekeeper.GoldenReference{Registry: "golden", Repository: "team/app", Tag: "v1", Digest: p.Digest, PushID: p.ID}
	if err := j.RecordGolden(t.Context(), d.ID, []gatekeeper.GoldenReference{ref}); err != nil {
		t.Fatal(err)
	}
	// While somebody has the table for himself, counting takes as long.
	conn := connect(t, location)
	locked := func() (unlock func()) {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "LOCK TABLE golden"); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := tx.Rollback(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	soon := func() (int, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		counts, err := j.GoldenImages(ctx)
		n := 0
		for _, c := range counts {
			n += c.Images
		}
		return n, err
	}
	unlock := locked()
	if n, err := soon(); err == nil {
		t.Errorf("%d images, without having counted", n)
	}
	unlock()
	if counts, err := j.GoldenImages(t.Context()); err != nil || len(counts) != 1 || counts[0].Images != 1 {
		t.Fatalf("%+v, %v", counts, err)
	}
	unlock = locked()
	for range 3 {
		if n, err := soon(); err != nil || n != 1 {
			t.Errorf("%d images, %v; want what was counted before", n, err)
		}
	}
	unlock()
}
