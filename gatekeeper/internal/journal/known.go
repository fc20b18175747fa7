package journal

import (
	"context"
	"fmt"
	"slices"

	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// knownPush is what is known when a push is reported.
type knownPush struct {
	newest newestPush // of its tag
	event  bool       // its event was seen
}

// newestPush is the newest push of a tag.
type newestPush struct {
	there      bool
	id         int64  // 0: of this transaction
	digest     string // empty: not resolved yet; it will be what the tag points to
	state      string
	eventID    string // empty: nobody reported it, or its format has none
	orderAt    int64
	receivedAt int64
}

// says reports whether a push says again what the newest one of its tag says
// that is still being worked on, or that was found before its notification
// came.
func (n newestPush) says(p notifications.Push) bool {
	if !n.there || p.Tag == "" || p.Digest == "" || n.digest != p.Digest {
		return false
	}
	return n.open() || n.eventID == "" && p.EventID != "" && !p.Time.IsZero() && p.Time.UnixNano() <= n.receivedAt
}

// open says whether the push has no verdict yet that lasts.
func (n newestPush) open() bool {
	switch n.state {
	case stateQueued, stateJudging, stateRetrying, string(policy.VerdictPending):
		return true
	}
	return false
}

// lookUp finds what is known about pushes, in the same order.
func (j *Journal) lookUp(ctx context.Context, on db, pushes []notifications.Push) ([]knownPush, error) {
	if len(pushes) == 0 {
		return nil, nil
	}
	n := len(pushes)
	at, source, repository, tag, event := make([]int64, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, p := range pushes {
		at[i], source[i], repository[i], tag[i], event[i] = int64(i), p.Source, p.Repository, p.Tag, p.EventID
	}
	table, args := j.engine.table(columns{at, source, repository, tag, event})
	known := make([]knownPush, n)
	err := on.each(ctx, `
		SELECT v.column1, EXISTS (SELECT 1 FROM pushes e WHERE e.source = v.column2 AND e.event_id = v.column5 AND e.event_id <> ''),
		  p.id, p.digest, p.state, p.event_id, p.order_at, p.received_at
		FROM `+table+` LEFT JOIN pushes p ON p.id = (
		  SELECT q.id FROM pushes q WHERE q.source = v.column2 AND q.repository = v.column3 AND q.tag = v.column4
		  ORDER BY q.order_at DESC, q.id DESC LIMIT 1)`, args, func(r row) error {
		var i int64
		var event bool
		var id, orderAt, receivedAt *int64
		var digest, state, eventID *string
		if err := r.Scan(&i, &event, &id, &digest, &state, &eventID, &orderAt, &receivedAt); err != nil {
			return err
		}
		known[i].event = event
		if id != nil {
			known[i].newest = newestPush{
				there: true, id: *id, digest: *digest, state: *state, eventID: *eventID, orderAt: *orderAt, receivedAt: *receivedAt,
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for %d pushes: %w", n, err)
	}
	return known, nil
}

// lookBefore asks for those that may be put in order anew by their notification,
// when the pushes of their tags were pushed that were known before them.
func (in *intake) lookBefore(ctx context.Context) error {
	var ids []int64
	for i, p := range in.pushes {
		if n := in.known[i].newest; n.there && n.eventID == "" && p.EventID != "" && p.Digest == n.digest {
			ids = append(ids, n.id)
		}
	}
	in.before = map[int64]int64{}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	table, args := in.journal.engine.table(columns{slices.Compact(ids)})
	err := in.tx.each(ctx, `
		SELECT p.id, max(q.order_at) FROM `+table+` JOIN pushes p ON p.id = v.column1
		JOIN pushes q ON q.source = p.source AND q.repository = p.repository AND q.tag = p.tag AND q.id < p.id GROUP BY p.id`, args, func(r row) error {
		var id, at int64
		err := r.Scan(&id, &at)
		in.before[id] = at
		return err
	})
	if err != nil {
		return fmt.Errorf("look for what %d pushes replaced: %w", len(ids), err)
	}
	return nil
}

// lookFound asks for notifications that come after the next push of their tag,
// which push was found by looking at the registry before they came.
func (in *intake) lookFound(ctx context.Context) error {
	var at, times []int64
	var source, repository, tag, digest []string
	for i, p := range in.pushes {
		n := in.known[i].newest
		if late := p.EventID != "" && p.Tag != "" && p.Digest != "" && n.there && n.digest != p.Digest && in.orderAt(p, n) < n.orderAt; !late {
			continue
		}
		at, times = append(at, int64(i)), append(times, in.orderAt(p, n))
		source, repository, tag, digest = append(source, p.Source), append(repository, p.Repository), append(tag, p.Tag), append(digest, p.Digest)
	}
	in.found = map[int]int64{}
	if len(at) == 0 {
		return nil
	}
	table, args := in.journal.engine.table(columns{at, source, repository, tag, digest, times})
	err := in.tx.each(ctx, `
		SELECT v.column1, min(p.id) FROM `+table+` JOIN pushes p ON p.source = v.column2 AND p.repository = v.column3 AND p.digest = v.column5
		WHERE p.tag = v.column4 AND p.event_id = '' AND p.received_at >= v.column6 GROUP BY v.column1`, args, func(r row) error {
		var i, id int64
		err := r.Scan(&i, &id)
		in.found[int(i)] = id
		return err
	})
	if err != nil {
		return fmt.Errorf("look for who found %d pushes before their notifications: %w", len(at), err)
	}
	return nil
}
