package worker_test

import (
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded/sampleimage"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
)

// Deadlines count from when a vulnerability was published, and scans have an
// age: both are on record.
func TestAScanSaysWhen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ended := time.Date(2026, time.November, 20, 8, 0, 0, 0, time.UTC)
	s := b.scanner(t, func(o *scan.Options) { o.Now = func() time.Time { return ended } })
	got, problem, err := b.scan(t, s, b.pushSpec(t, sampleimage.Spec{
		OS: "debian", Version: "12", Packages: []sampleimage.Package{{Name: "libcurl4", Source: "curl", Version: "7.88.1-10+deb12u1"}},
	}))
	if err != nil || problem != nil {
		t.Fatalf("%v, %v", problem, err)
	}
	if !got.FinishedAt.Equal(ended) {
		t.Errorf("the scan ended %s, want %s", got.FinishedAt, ended)
	}
	if len(got.Vulnerabilities) != 1 {
		t.Fatalf("%+v", got.Vulnerabilities)
	}
	want := time.Date(2023, time.October, 11, 0, 0, 0, 0, time.UTC)
	if at := got.Vulnerabilities[0].PublishedAt; at == nil || !at.Equal(want) {
		t.Errorf("published %v, want %s", at, want)
	}
}
