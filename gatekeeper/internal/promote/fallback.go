package promote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// How long the lists of referrers are looked after. A registry has no write
// that depends on what was read, so that somebody else who read before our
// write may still write their own list over it. After as long as such a write
// takes, the lists are read again.
const (
	maxListRounds = 10
	leastSettling = 20 * time.Millisecond
	mostSettling  = 2 * time.Second
	// settlingFactor times our own read and write is how long somebody
	// else's are taken to last.
	settlingFactor = 3
)

// lockedIndexes serialises the read, change, write of fallback tags within
// this process: one lock for each golden repository in use. The zero value is
// ready.
type lockedIndexes struct {
	mu    sync.Mutex
	locks map[string]*countedLock
}

type countedLock struct {
	taken chan struct{} // holds one
	users int
}

// lock waits for the key, as long as ctx allows, and returns what releases it.
// The last to use it forgets it.
func (l *lockedIndexes) lock(ctx context.Context, key string) (release func(), err error) {
	one := l.use(key)
	select {
	case one.taken <- struct{}{}:
		return func() { <-one.taken; l.leave(key, one) }, nil
	case <-ctx.Done():
		l.leave(key, one)
		return nil, ctx.Err()
	}
}

func (l *lockedIndexes) use(key string) *countedLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locks == nil {
		l.locks = map[string]*countedLock{}
	}
	one := l.locks[key]
	if one == nil {
		one = &countedLock{taken: make(chan struct{}, 1)}
		l.locks[key] = one
	}
	one.users++
	return one
}

func (l *lockedIndexes) leave(key string, one *countedLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(l.locks, key)
	}
}

// aloneTimeout is how long to wait for others who change lists of the same
// repository, before the promotion lets go of its worker.
const aloneTimeout = 30 * time.Second

// alone waits until nobody else of ours changes what is kept in lists: in this
// process nor in others. It is another turn than the one for tags, which those
// who sign hold meanwhile.
func (c *job) alone(ctx context.Context) (release func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, aloneTimeout)
	defer cancel()
	key, err := c.place()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && waiting.Err() != nil && ctx.Err() == nil {
			err = &gatekeeper.BusyError{Place: key, Err: err}
		}
	}()
	unlock, err := c.fallback.lock(waiting, key)
	if err != nil || c.Turns == nil {
		return unlock, err
	}
	end, err := c.Turns.Turn(waiting, "lists of "+key)
	if err != nil {
		unlock()
		return nil, err
	}
	return func() {
		end()
		unlock()
	}, nil
}

// place is where the destination is: two names of the configuration may lead to
// one registry.
func (c *job) place() (string, error) {
	host, err := c.registries.Host(c.to.Registry)
	return host + "/" + c.to.Name, err
}

// lists holds what has to be found under fallback tags: the entries by subject.
type lists struct {
	mu        sync.Mutex
	bySubject map[string][]ocispec.Descriptor
}

// list remembers a referrer that the registry does not list by itself; publish
// makes it findable.
func (c *job) list(content registry.Content, listed bool) error {
	subject := subjectOf(content)
	if subject == "" || listed {
		return nil
	}
	entry, err := entryFor(content)
	if err != nil {
		return err
	}
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	if c.lists.bySubject == nil {
		c.lists.bySubject = map[string][]ocispec.Descriptor{}
	}
	c.lists.bySubject[subject] = append(c.lists.bySubject[subject], entry)
	return nil
}

// publish adds what list remembered to the indexes under the fallback tags
// (OCI distribution-spec v1.1, "Pushing Manifests with Subject"), until a look
// at them finds everything: our entries, and every other one that was seen.
func (c *job) publish(ctx context.Context) error {
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	for range maxListRounds {
		began, wrote := c.now(), false
		for _, subject := range slices.Sorted(maps.Keys(c.lists.bySubject)) {
			seen, changed, err := c.merge(ctx, registry.FallbackTag(subject, ""), c.lists.bySubject[subject])
			if err != nil {
				return err
			}
			c.lists.bySubject[subject] = seen
			wrote = wrote || changed
		}
		if !wrote {
			return nil
		}
		if err := pause(ctx, settling(c.now().Sub(began))); err != nil {
			return err
		}
	}
	return fmt.Errorf("the lists of referrers in %s/%s are changed by somebody else all the time", c.to.Registry, c.to.Name)
}

// settling is how long to wait for what others may be writing, when reading
// and writing took us this long.
func settling(took time.Duration) time.Duration {
	return min(max(settlingFactor*took, leastSettling), mostSettling)
}

// merge adds the entries that an index lacks. Seen is everything that it holds
// then.
func (c *job) merge(ctx context.Context, tag string, entries []ocispec.Descriptor) (seen []ocispec.Descriptor, changed bool, err error) {
	release, err := c.alone(ctx)
	if err != nil {
		return nil, false, err
	}
	defer release()
	index, err := c.readIndex(ctx, tag)
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		same := func(m ocispec.Descriptor) bool { return m.Digest == e.Digest }
		if !slices.ContainsFunc(index.Manifests, same) {
			index.Manifests, changed = append(index.Manifests, e), true
		}
	}
	if !changed {
		return index.Manifests, false, nil
	}
	body, err := json.Marshal(index)
	if err != nil {
		return nil, false, fmt.Errorf("write the list of referrers %s: %w", tag, err)
	}
	_, err = c.registries.PutManifest(ctx, c.to, tag, contentOf(ocispec.MediaTypeImageIndex, body))
	return index.Manifests, true, err
}

// contentOf is a document that was made here.
func contentOf(mediaType string, body []byte) registry.Content {
	return registry.Content{
		Descriptor: gatekeeper.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body).String(), Size: int64(len(body))},
		Body:       body,
	}
}

func (c *job) readIndex(ctx context.Context, tag string) (ocispec.Index, error) {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{},
	}
	content, err := c.registries.ManifestByTag(ctx, c.to, tag)
	if errors.Is(err, gatekeeper.ErrNotFound) {
		return index, nil
	}
	if err != nil {
		return index, err
	}
	if content.MediaType != ocispec.MediaTypeImageIndex {
		return index, fmt.Errorf("%w: %s/%s:%s is no list of referrers but %s", gatekeeper.ErrInvalidContent, c.to.Registry, c.to.Name, tag, content.MediaType)
	}
	if err := json.Unmarshal(content.Body, &index); err != nil {
		return index, fmt.Errorf("%w: the list of referrers %s: %w", gatekeeper.ErrInvalidContent, tag, err)
	}
	return index, nil
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// entryFor describes a referrer as the referrers API would: with its artifact
// type, or else its configuration's media type, and its annotations.
func entryFor(content registry.Content) (ocispec.Descriptor, error) {
	var m struct {
		ArtifactType string             `json:"artifactType"`
		Config       ocispec.Descriptor `json:"config"`
		Annotations  map[string]string  `json:"annotations"`
	}
	if err := json.Unmarshal(content.Body, &m); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, content.Digest, err)
	}
	if m.ArtifactType == "" {
		m.ArtifactType = m.Config.MediaType
	}
	return ocispec.Descriptor{
		MediaType: content.MediaType, Digest: digest.Digest(content.Digest), Size: content.Size,
		ArtifactType: m.ArtifactType, Annotations: m.Annotations,
	}, nil
}
