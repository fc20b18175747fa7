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
	promote := func(tag, digest string) {
		p := pushed(t, j, tag, digest)
		d := decide(t, j, p, policy.VerdictPromoted, "services")
		ref := gatekeeper.GoldenReference{Registry: "golden", Repository: "team/app", Tag: tag, Digest: digest, PushID: p.ID}
		if err := j.RecordGolden(t.Context(), d.ID, []gatekeeper.GoldenReference{ref}); err != nil {
			t.Fatal(err)
		}
	}
	promote("v1", digest("a"))
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
	const patience = 100 * time.Millisecond
	soon := func() (int, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
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
	// That took long, so that it is told again for a while; the next is quick.
	promote("v2", digest("b"))
	for images := 0; images != 2; {
		counts, err := j.GoldenImages(t.Context())
		if err != nil || len(counts) != 1 {
			t.Fatalf("%+v, %v", counts, err)
		}
		images = counts[0].Images
	}
	unlock = locked()
	defer unlock()
	for waited := 0; waited < 3; { // until what was counted is not fresh any more, and then some
		began := time.Now()
		if n, err := soon(); err != nil || n != 2 {
			t.Fatalf("%d images, %v; want what was counted before", n, err)
		}
		if time.Since(began) > patience/2 {
			waited++
		}
	}
}
