package promote

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// oneHost has every registry at one place.
type oneHost struct{ Registries }

func (oneHost) Host(string) (string, error) { return "registry.example", nil }

// taken are turns that somebody else has for ever, and the keys asked for.
type taken struct{ asked *[]string }

func (t taken) Turn(ctx context.Context, key string) (func(), error) {
	*t.asked = append(*t.asked, key)
	<-ctx.Done()
	return nil, ctx.Err()
}

// Whoever waits for others who change lists lets go of its worker after a
// while: in another process, and in this one. Two names of one registry are one
// place.
func TestNobodyWaitsForListsForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		p := &Promoter{registries: oneHost{}}
		at := func(name string) *job {
			return &job{Promoter: p, to: registry.Repository{Registry: name, Name: "team/app"}}
		}
		release, err := at("golden").alone(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := at("mirror").alone(t.Context()); !isBusy(err) {
			t.Errorf("while this process changes them: %v", err)
		}
		release()
		p.Turns = taken{&asked}
		if _, err := at("golden").alone(t.Context()); !isBusy(err) || len(asked) != 1 || asked[0] != "lists of registry.example/team/app" {
			t.Errorf("while another process changes them: %v, asked for %q", err, asked)
		}
	})
}

func isBusy(err error) bool {
	_, busy := errors.AsType[*gatekeeper.BusyError](err)
	return busy
}
