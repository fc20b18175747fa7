package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// batch is how many tags are read and handed to the journal at a time.
const batch = 200

// compare looks at one repository: first at the tags that a policy is about,
// then at what is kept under tags beside the images they point to, as
// signatures are. Evidence of what has no such tag has nothing to wake.
func (w *walk) compare(ctx context.Context, repository string) {
	tags, err := w.list(ctx, repository)
	if err != nil {
		w.troubles.add(ctx, repository, err)
		return
	}
	subjects := map[string]bool{}
	images := slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return !w.judges(repository, tag) })
	w.handOver(ctx, repository, images, func(p notifications.Push) { subjects[p.Digest] = true })
	evidence := slices.DeleteFunc(tags, func(tag string) bool {
		subject, is := registry.SubjectOfTag(tag)
		return !is || !subjects[subject]
	})
	w.handOver(ctx, repository, evidence, func(notifications.Push) {})
}

// judges says whether a tag is that of an image which a policy is about.
func (w *walk) judges(repository, tag string) bool {
	if _, is := registry.SubjectOfTag(tag); is {
		return false
	}
	return slices.ContainsFunc(w.policies, func(p *policy.Compiled) bool { return p.Matches(w.source.Name, repository, tag) })
}

// list returns the tags; none when the repository is not there (any more).
func (w *walk) list(ctx context.Context, repository string) ([]string, error) {
	done, err := w.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	tags, err := w.deps.Registry.Tags(ctx, registry.Repository{Registry: w.source.Name, Name: repository})
	switch {
	case errors.Is(err, gatekeeper.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("list the tags: %w", err)
	}
	w.troubles.over()
	return tags, nil
}

// handOver reads tags and has the journal compare them, batch by batch, in the
// registry's order. each is told about what is handed over.
func (w *walk) handOver(ctx context.Context, repository string, tags []string, each func(notifications.Push)) {
	for part := range slices.Chunk(tags, batch) {
		if ctx.Err() != nil {
			return
		}
		found, err := w.withoutOwn(ctx, w.read(ctx, repository, part))
		if err != nil {
			w.troubles.end(err)
			return
		}
		for _, p := range found {
			each(p)
		}
		if len(found) == 0 || ctx.Err() != nil {
			continue
		}
		missed, err := w.deps.Journal.Reconcile(ctx, found)
		if err != nil {
			w.troubles.end(fmt.Errorf("compare %s with the journal: %w", repository, err))
			return
		}
		w.missed.Add(int64(missed))
		w.deps.Observer.ReconcileMissed(w.source.Name, missed)
	}
}

// read asks what tags point to now. Those that are gone, and those that could
// not be read, are left out.
func (w *walk) read(ctx context.Context, repository string, tags []string) []notifications.Push {
	found := make([]notifications.Push, len(tags))
	var group errgroup.Group
	group.SetLimit(w.source.Concurrent)
	for i, tag := range tags {
		group.Go(func() error {
			p, err := w.resolve(ctx, repository, tag)
			switch {
			case err == nil:
				w.troubles.over()
				found[i] = p
			case !errors.Is(err, gatekeeper.ErrNotFound):
				w.troubles.add(ctx, repository, err)
			}
			return nil
		})
	}
	_ = group.Wait() // none returns an error
	w.tags.Add(int64(len(tags)))
	return slices.DeleteFunc(found, func(p notifications.Push) bool { return p.Digest == "" })
}

func (w *walk) resolve(ctx context.Context, repository, tag string) (notifications.Push, error) {
	done, err := w.turn(ctx)
	if err != nil {
		return notifications.Push{}, err
	}
	defer done()
	p := notifications.Push{Source: w.source.Name, Repository: repository, Tag: tag, Time: w.deps.Now().Add(-settle)}
	d, err := w.deps.Registry.Resolve(ctx, p.Source, repository, tag)
	if err != nil {
		return notifications.Push{}, err
	}
	p.Digest, p.MediaType = d.Digest, d.MediaType
	return p, p.Validate()
}

// withoutOwn leaves out what the gatekeeper wrote, where promotions go to the
// registry they come from. What registries report of it is told by its sender;
// a tag has none.
func (w *walk) withoutOwn(ctx context.Context, found []notifications.Push) ([]notifications.Push, error) {
	var others []notifications.Push
	for _, p := range found {
		own, err := w.wrote(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("look for a promotion to %s:%s: %w", p.Repository, p.Tag, err)
		}
		if !own {
			others = append(others, p)
		}
	}
	return others, nil
}

func (w *walk) wrote(ctx context.Context, p notifications.Push) (bool, error) {
	for _, name := range w.golden {
		ref, known, err := w.deps.Golden.Golden(ctx, name, p.Repository, p.Tag)
		if err != nil || known && ref.Digest == p.Digest {
			return err == nil, err
		}
	}
	return false, nil
}
