package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
)

// What a tag was found to point to stays the newest push of the tag when its
// notification comes, though the registry's clock says that another came later.
func TestWhatWasSeenUnderATagStaysTheNewest(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, now := e.openNew(t), time.Now()
			accept(t, j, event("v1", digest("b"), "later", now.Add(-time.Second)))
			other, err := j.Lookup(t.Context(), "team/app", "v1")
			if err != nil {
				t.Fatal(err)
			}
			seen := gatekeeper.Descriptor{Digest: digest("a")}
			if err := j.Notice(t.Context(), other.Push, seen); err != nil {
				t.Fatal(err)
			}
			if r := accept(t, j, event("v1", digest("a"), "earlier", now.Add(-2*time.Second))); r.Duplicates != 1 {
				t.Errorf("the notification of what was seen: %+v", r)
			}
			first, err := j.Lookup(t.Context(), "team/app", "v1")
			if err != nil || first.Push.Digest != digest("a") {
				t.Errorf("the newest is %s, %v", first.Push.Digest, err)
			}
			if err := j.Notice(t.Context(), other.Push, seen); err != nil { // by whoever looks again
				t.Fatal(err)
			}
			if again, err := j.Lookup(t.Context(), "team/app", "v1"); err != nil || again.Push.ID != first.Push.ID {
				t.Errorf("push %d has a second record, %d, %v", first.Push.ID, again.Push.ID, err)
			}
		})
	}
}

// A push that was found, and overtaken before its notification came, has one
// record all the same.
func TestALateNotificationOfWhatWasFound(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, now := e.openNew(t), time.Now()
			missed, err := j.Reconcile(t.Context(), []notifications.Push{event("v1", digest("a"), "", now.Add(-time.Hour))})
			if err != nil || missed != 1 {
				t.Fatalf("%d, %v", missed, err)
			}
			accept(t, j, event("v1", digest("b"), "newer", now.Add(-time.Minute)))
			late := event("v1", digest("a"), "late", now.Add(-2*time.Hour))
			for range 2 {
				if r := accept(t, j, late); r.Duplicates != 1 {
					t.Errorf("the late notification: %+v", r)
				}
			}
			// It was pushed once more, and that was overtaken as well.
			if r := accept(t, j, event("v1", digest("a"), "once more", now.Add(-90*time.Minute))); r.Accepted != 1 {
				t.Errorf("another push of the same: %+v", r)
			}
		})
	}
}

// The same, when what overtakes it comes in the same notification, and for many
// at once.
func TestManyLateNotificationsOfWhatWasFound(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, now := e.openNew(t), time.Now()
			var found, reported, late []notifications.Push
			for i := range 50 {
				tag := fmt.Sprintf("v%d", i)
				found = append(found, event(tag, digest("a"), "", now.Add(-time.Hour)))
				next := event(tag, digest("b"), "next "+tag, now.Add(-time.Minute))
				own := event(tag, digest("a"), "own "+tag, now.Add(-2*time.Hour))
				if i%2 == 0 {
					reported = append(reported, next, own)
					continue
				}
				reported, late = append(reported, next), append(late, own)
			}
			if missed, err := j.Reconcile(t.Context(), found); err != nil || missed != 50 {
				t.Fatalf("%d, %v", missed, err)
			}
			if r := accept(t, j, reported...); r.Accepted != 50 || r.Duplicates != 25 {
				t.Errorf("in the same notification: %+v", r)
			}
			for range 2 {
				if r := accept(t, j, late...); r.Duplicates != 25 {
					t.Errorf("later: %+v", r)
				}
			}
		})
	}
}
