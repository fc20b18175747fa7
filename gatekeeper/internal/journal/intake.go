package journal

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/notifications"
)

// intake is one transaction of accepted pushes. Whatever their number, it asks
// the database the same few questions. Their jobs are queued later, unless
// priority says which they get.
type intake struct {
	journal  *Journal
	tx       db
	priority int // of their jobs; zero: keepFed queues them
	groups   []int
	pushes   []notifications.Push

	now    time.Time
	known  []knownPush
	before map[int64]int64 // of pushes that were found: when what they replaced was pushed
	found  map[int]int64   // of late notifications: the push that was found before
	noted  map[int64]noted // what is to be changed of pushes that were known
	newest map[tagKey]*newestPush
	events map[eventKey]bool
	fresh  []freshPush
	queued []int64 // pushes that need a job
}

type (
	tagKey   struct{ source, repository, tag string }
	eventKey struct{ source, id string }
)

// noted is what became known of a push.
type noted struct {
	eventID string
	orderAt int64
}

// freshPush is one that is stored.
type freshPush struct {
	push    notifications.Push
	orderAt int64
	subject string // that it is evidence for; empty: it gets a job
	hurries bool   // older pushes of its tag wait
}

// add adds the pushes of one caller.
func (in *intake) add(pushes []notifications.Push) {
	in.groups = append(in.groups, len(pushes))
	in.pushes = append(in.pushes, pushes...)
}

// take stores the pushes that are new, and says for each caller how many were.
func (in *intake) take(ctx context.Context) ([]notifications.Receipt, error) {
	if err := in.look(ctx); err != nil {
		return nil, err
	}
	receipts := make([]notifications.Receipt, len(in.groups))
	i := 0
	for group, n := range in.groups {
		for range n {
			if in.decide(i) {
				receipts[group].Accepted++
			} else {
				receipts[group].Duplicates++
			}
			i++
		}
	}
	return receipts, in.store(ctx)
}

// look reads what is known about the pushes.
func (in *intake) look(ctx context.Context) (err error) {
	in.now = in.journal.deps.Now()
	if in.known, err = in.journal.lookUp(ctx, in.tx, in.pushes); err != nil {
		return err
	}
	in.newest, in.events, in.noted = map[tagKey]*newestPush{}, map[eventKey]bool{}, map[int64]noted{}
	for i, p := range in.pushes {
		k := in.known[i]
		in.newest[tagKey{p.Source, p.Repository, p.Tag}] = &k.newest
		if k.event {
			in.events[eventKey{p.Source, p.EventID}] = true
		}
	}
	if err := in.lookBefore(ctx); err != nil {
		return err
	}
	return in.lookFound(ctx)
}

// decide says whether a push is new, and remembers it for those after it.
func (in *intake) decide(i int) (isNew bool) {
	p := in.pushes[i]
	newest := in.newest[tagKey{p.Source, p.Repository, p.Tag}]
	event := eventKey{p.Source, p.EventID}
	if p.EventID != "" && in.events[event] {
		return false
	}
	f := freshPush{push: p, orderAt: in.orderAt(p, *newest)}
	if newest.says(p) {
		in.adopt(newest, f)
		return false
	}
	if in.wasFound(i, f) {
		return false
	}
	if p.EventID != "" {
		in.events[event] = true
	}
	var isEvidence bool
	if f.subject, isEvidence = subjectTag(p.Tag); !isEvidence {
		f.hurries = newest.there && p.Tag != ""
	}
	if f.orderAt >= newest.orderAt {
		state := stateQueued
		if isEvidence {
			state = stateDone
		}
		*newest = newestPush{
			there: true, digest: p.Digest, state: state, eventID: p.EventID, orderAt: f.orderAt, receivedAt: in.now.UnixNano(),
		}
	}
	in.fresh = append(in.fresh, f)
	return true
}

// orderAt is what a push is put in order by. The registry's clock tells, but it
// cannot be ahead of the arrival; a registry that says no time is believed to
// report in order.
func (in *intake) orderAt(p notifications.Push, newest newestPush) int64 {
	if p.Time.IsZero() {
		return newest.orderAt
	}
	return min(p.Time.UnixNano(), in.now.UnixNano())
}

// adopt notes that the newest push of a tag was reported again: under an event
// of its own when it was found by looking at the registry.
func (in *intake) adopt(newest *newestPush, f freshPush) {
	changes := newest.eventID == "" && f.push.EventID != "" || f.orderAt > newest.orderAt
	if newest.id == 0 || !changes {
		return
	}
	if newest.eventID == "" && !f.push.Time.IsZero() && f.orderAt < newest.orderAt {
		// Now it is known when it was pushed; but not before what it was seen
		// to have replaced, whatever the registry's clock says of that.
		newest.orderAt = max(f.orderAt, in.before[newest.id])
	}
	newest.eventID, newest.orderAt = cmp.Or(newest.eventID, f.push.EventID), max(newest.orderAt, f.orderAt)
	in.noted[newest.id] = noted{newest.eventID, newest.orderAt}
	if f.push.EventID != "" && newest.eventID == f.push.EventID {
		in.events[eventKey{f.push.Source, f.push.EventID}] = true
	}
}

// wasFound says whether a late notification is about a push that was found by
// looking at the registry, and was overtaken since. It notes the event then.
func (in *intake) wasFound(i int, f freshPush) bool {
	id, orderAt := in.found[i], int64(0)
	// What was the newest when this began may have been overtaken by another of
	// the same notification.
	if n := in.known[i].newest; id == 0 && n.eventID == "" && n.says(f.push) {
		id, orderAt = n.id, n.orderAt
	}
	if _, taken := in.noted[id]; id == 0 || taken {
		return false
	}
	in.noted[id] = noted{f.push.EventID, orderAt}
	in.events[eventKey{f.push.Source, f.push.EventID}] = true
	return true
}

// note writes what became known of pushes that were known.
func (in *intake) note(ctx context.Context) error {
	if len(in.noted) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(in.noted))
	events, orders := make([]string, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		events[i], orders[i] = in.noted[id].eventID, in.noted[id].orderAt
	}
	table, args := in.journal.engine.table(columns{ids, events, orders})
	err := in.tx.exec(ctx, "UPDATE pushes SET event_id = v.column2, order_at = CASE WHEN v.column3 = 0 THEN order_at ELSE v.column3 END FROM "+
		table+" WHERE pushes.id = v.column1", args...)
	if err != nil {
		return fmt.Errorf("note the events of %d pushes: %w", len(ids), err)
	}
	return nil
}

// store writes the new pushes and what follows from them.
func (in *intake) store(ctx context.Context) error {
	if err := in.note(ctx); err != nil {
		return err
	}
	if len(in.fresh) == 0 {
		return nil
	}
	followed := in.priority != 0 || slices.ContainsFunc(in.fresh, func(f freshPush) bool { return f.hurries || f.subject != "" })
	ids, err := in.insert(ctx, !followed)
	if err != nil {
		return err
	}
	var hurrying []int64
	for i, f := range in.fresh {
		if f.subject != "" {
			continue
		}
		in.queued = append(in.queued, ids[i])
		if f.hurries {
			hurrying = append(hurrying, ids[i])
		}
	}
	if in.priority != 0 {
		if err := in.journal.queueByTurns(ctx, in.tx, in.queued, in.priority); err != nil {
			return err
		}
	}
	if err := in.hurryOvertaken(ctx, hurrying); err != nil {
		return err
	}
	return in.wakeSubjects(ctx)
}

// acceptedColumns are the columns of pushes that are stored of a new one.
const acceptedColumns = "pushes (source, repository, tag, digest, media_type, actor, event_id, received_at, state, order_at)"

// asRows are the pushes as acceptedColumns has them.
func (in *intake) asRows() columns {
	n := len(in.fresh)
	orderAt, receivedAt := make([]int64, n), make([]int64, n)
	source, repository, tag, digest := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	mediaType, actor, event, state := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, f := range in.fresh {
		p := f.push
		source[i], repository[i], tag[i], digest[i] = p.Source, p.Repository, p.Tag, p.Digest
		mediaType[i], actor[i], event[i], state[i] = p.MediaType, p.Actor, p.EventID, stateQueued
		if f.subject != "" {
			state[i] = stateDone
		}
		orderAt[i], receivedAt[i] = f.orderAt, in.now.UnixNano()
	}
	return columns{source, repository, tag, digest, mediaType, actor, event, receivedAt, state, orderAt}
}

// insert writes the pushes, and returns their numbers in the same order.
func (in *intake) insert(ctx context.Context, last bool) ([]int64, error) {
	n := len(in.fresh)
	ids, err := in.journal.engine.insert(ctx, in.tx, acceptedColumns, in.asRows(), last)
	if err != nil {
		return nil, fmt.Errorf("store %d pushes: %w", n, err)
	}
	if len(ids) != n {
		return nil, fmt.Errorf("store %d pushes: %d have numbers", n, len(ids))
	}
	return ids, nil
}

// unknown is a condition on a new push v, in the order of acceptedColumns: there is
// none of its tag, and none under its event.
const unknown = `NOT EXISTS (SELECT 1 FROM pushes q WHERE q.source = v.column1 AND q.repository = v.column2 AND q.tag = v.column3)
	AND NOT EXISTS (SELECT 1 FROM pushes e WHERE e.source = v.column1 AND e.event_id = v.column7 AND e.event_id <> '')`

// takeFirst stores the first push of a tag, which nothing follows from, in one
// go: that is what most are, and what reports one waits for nothing else. It
// returns zero when the push is another one, and has to be looked into.
func (j *Journal) takeFirst(ctx context.Context, p notifications.Push) (id int64, err error) {
	if _, isEvidence := subjectTag(p.Tag); isEvidence || p.Tag == "" {
		return 0, nil
	}
	in := &intake{journal: j, now: j.deps.Now()}
	in.fresh = []freshPush{{push: p, orderAt: in.orderAt(p, newestPush{})}}
	if id, err = j.engine.insertIf(ctx, acceptedColumns, in.asRows(), unknown); err != nil {
		return 0, fmt.Errorf("store a push: %w", err)
	}
	return id, nil
}

// hurryOvertaken has the older pushes of the tags that still wait look again,
// so that they end as superseded now and not at their deadline.
func (in *intake) hurryOvertaken(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	table, args := in.journal.engine.table(columns{ids})
	query := in.journal.engine.locked(`
		SELECT p.id, p.job_id FROM pushes n JOIN pushes p ON p.source = n.source AND p.repository = n.repository AND p.tag = n.tag
		WHERE n.id IN (SELECT column1 FROM ` + table + `) AND ` + newer("n", "p") + ` AND p.digest <> n.digest
		AND p.state IN ('judging', 'retrying', 'pending') ORDER BY p.id`)
	_, err := in.journal.hurry(ctx, in.tx, newerArrived(), query, args...)
	return err
}

// wakeSubjects has what evidence arrived for looked at again.
func (in *intake) wakeSubjects(ctx context.Context) error {
	var of []subject
	for _, f := range in.fresh {
		if f.subject != "" {
			of = append(of, subject{f.push.Source, f.push.Repository, f.subject})
		}
	}
	_, err := in.journal.wake(ctx, in.tx, of)
	return err
}

// newer is a condition: one push of a tag is newer than another.
func newer(one, other string) string {
	return "(" + one + ".order_at, " + one + ".id) > (" + other + ".order_at, " + other + ".id)"
}
