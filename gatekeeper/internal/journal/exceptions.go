package journal

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// The limits of looking up what exceptions are needed for.
const (
	usesPage     = 500
	usesFresh    = time.Minute // what was looked up is good for as long,
	usesShare    = 20          // or for so many times what looking took
	usesExamples = 10
)

// exceptionUses is what was looked up last. Who holds the turn may change it.
type exceptionUses struct {
	turn chan struct{}
	list []gatekeeper.ExceptionUse
	at   time.Time
	took time.Duration
}

func newExceptionUses() exceptionUses { return exceptionUses{turn: make(chan struct{}, 1)} }

// exceptionsOf writes down which exceptions a decision took.
func exceptionsOf(d gatekeeper.Decision) string {
	var all []string
	for _, r := range d.Results {
		for _, key := range r.Exceptions {
			all = append(all, r.Policy+"/"+key)
		}
	}
	return strings.Join(all, ",")
}

// ExceptionUses lists the exceptions that the newest judgements took: those of
// the newest push of each tag, and of what golden tags point to. What it says
// may be a minute old, or older where looking takes seconds.
func (j *Journal) ExceptionUses(ctx context.Context) ([]gatekeeper.ExceptionUse, error) {
	u := &j.uses
	select {
	case u.turn <- struct{}{}:
		defer func() { <-u.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("look up what exceptions are needed for: %w", ctx.Err())
	}
	if now := j.steady.now(); u.list == nil || now.Sub(u.at) >= max(usesFresh, usesShare*u.took) {
		list, err := j.lookUpUses(ctx)
		if err != nil {
			return nil, fmt.Errorf("look up what exceptions are needed for: %w", err)
		}
		u.list, u.at, u.took = list, now, j.steady.now().Sub(now)
	}
	return slices.Clone(u.list), nil
}

// neededBy is a judgement that took exceptions.
type neededBy struct {
	id, decidedAt               int64
	repository, tag, exceptions string
}

func (j *Journal) lookUpUses(ctx context.Context) ([]gatekeeper.ExceptionUse, error) {
	query := `SELECT d.id, d.decided_at, d.repository, d.tag, d.exceptions FROM decisions d JOIN pushes about ON about.id = d.push_id
		WHERE d.exceptions <> '' AND d.id > ?
		AND NOT EXISTS (SELECT 1 FROM decisions n WHERE n.push_id = d.push_id AND n.id > d.id AND (n.exceptions <> '' OR n.verdict IN ('promoted', 'rejected')))
		AND (NOT EXISTS (SELECT 1 FROM pushes q WHERE q.source = about.source AND q.repository = about.repository AND q.tag = about.tag AND ` + newer("q", "about") + `)
		  OR EXISTS (SELECT 1 FROM golden g WHERE g.push_id = about.id AND NOT EXISTS (
		    SELECT 1 FROM golden n WHERE n.registry = g.registry AND n.repository = g.repository AND n.tag = g.tag AND n.id > g.id)))
		ORDER BY d.id LIMIT ?`
	uses := map[string]*gatekeeper.ExceptionUse{}
	for last, more := int64(0), true; more; {
		seen := 0
		err := j.engine.each(ctx, query, []any{last, usesPage}, func(r row) error {
			var n neededBy
			if err := r.Scan(&n.id, &n.decidedAt, &n.repository, &n.tag, &n.exceptions); err != nil {
				return err
			}
			last, seen = n.id, seen+1
			n.addTo(uses)
			return nil
		})
		if err != nil {
			return nil, err
		}
		more = seen == usesPage
	}
	list := make([]gatekeeper.ExceptionUse, 0, len(uses))
	for u := range maps.Values(uses) {
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b gatekeeper.ExceptionUse) int {
		return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Key, b.Key))
	})
	return list, nil
}

// addTo counts the judgement, which is the newest so far.
func (n neededBy) addTo(uses map[string]*gatekeeper.ExceptionUse) {
	for name := range strings.SplitSeq(n.exceptions, ",") {
		u := uses[name]
		if u == nil {
			policy, key, _ := strings.Cut(name, "/")
			u = &gatekeeper.ExceptionUse{Policy: policy, Key: key}
			uses[name] = u
		}
		u.Images++
		u.Decision, u.JudgedAt = n.id, time.Unix(0, n.decidedAt).UTC()
		u.Examples = append([]string{n.repository + ":" + n.tag}, u.Examples[:min(len(u.Examples), usesExamples-1)]...)
	}
}
