package policyset

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// trustRoots are fingerprints of trust roots, by name.
type trustRoots map[string]string

var errUnknown = errors.New("not known")

func (t trustRoots) fingerprint(name string) (string, error) {
	if f, ok := t[name]; ok {
		return f, nil
	}
	return "", errUnknown
}

// readTrustRoots reads those that the policies name. Of one that cannot be
// read the log has a line when that begins, and when it ends.
func (w *Watcher) readTrustRoots(ctx context.Context) trustRoots {
	known, unreadable := trustRoots{}, map[string]error{}
	for _, name := range named(w.Set.Compiled()) {
		fingerprint, err := w.TrustRoots.Fingerprint(ctx, name)
		if err != nil {
			unreadable[name] = err
			if w.unreadable[name] == nil && ctx.Err() == nil {
				w.Log.ErrorContext(ctx, "a trust root cannot be read: judgements that need it could not decide",
					slog.String("trust_root", name), slog.String("reason", err.Error()), slog.String("remedy", "mend it, see trustRoots in the configuration"))
			}
			continue
		}
		known[name] = fingerprint
		if w.unreadable[name] != nil {
			w.Log.InfoContext(ctx, "a trust root can be read again", slog.String("trust_root", name))
		}
	}
	w.unreadable = unreadable
	return known
}

// named lists the trust roots that policies name.
func named(policies []*policy.Compiled) []string {
	var names []string
	for _, p := range policies {
		names = append(names, p.TrustRoots()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// state is what all pushes are judged by.
type state struct {
	policies map[string]string // fingerprints, by name
	turned   map[string]int    // how much of each has come by time alone
	roots    trustRoots
}

func (s *state) equal(other *state) bool {
	return other != nil && maps.Equal(s.policies, other.policies) && maps.Equal(s.turned, other.turned) && maps.Equal(s.roots, other.roots)
}

// rejudge has the pushes judged again that a change concerns. It is done at the
// start too, for what changed while the service was away, when another process is
// gone, and again later when it did not succeed. An exception that ends is a
// change.
func (w *Watcher) rejudge(ctx context.Context, roots trustRoots) {
	policies := w.Set.InForce()
	now := w.Now()
	next := &state{policies: map[string]string{}, turned: map[string]int{}, roots: roots}
	for _, p := range policies.All() {
		next.policies[p.Name()], next.turned[p.Name()] = p.Fingerprint(), p.Turned(now)
	}
	if w.left.Swap(false) {
		w.told = nil
	}
	if w.Rejudger == nil || next.equal(w.told) {
		return
	}
	woken, err := w.Rejudger.Rejudge(ctx, func(source, repository, tag string) string {
		return gatekeeper.JudgedBy(policies, source, repository, tag, now, roots.fingerprint)
	})
	if err != nil {
		w.Log.ErrorContext(ctx, "pushes could not be woken after a change of policies or trust roots: it is tried again", slog.Any("error", err))
		return
	}
	w.told = next
	w.Log.InfoContext(ctx, "pushes that were judged by other policies, keys or trust roots are judged again", slog.Int("woken", woken))
}
