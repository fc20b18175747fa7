package differential_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

// TestVerdictsAreThoseOfCosign lets both cosigns write evidence in every way
// that they can, and asks them and the gatekeeper the same questions about it.
func TestVerdictsAreThoseOfCosign(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	registries := map[string]string{"distribution": sigstore.NewRegistry(t), "referrers-api": sigstore.NewReferrersRegistry(t)}
	questions := c.questions(t)
	m := &matrix{
		cast: c, questions: questions, gate: startGate(t, settings{registries: registries, trustRoots: c.trustRoots(), policies: policies(questions, registries)}),
		cells: map[string]*cell{}, differ: map[string]int{},
	}
	t.Run("of", func(t *testing.T) {
		for registry, host := range registries {
			for _, e := range c.evidence() {
				e.registry, e.host = registry, host
				t.Run(e.String(), func(t *testing.T) {
					t.Parallel()
					m.compare(t, e)
				})
			}
		}
	})
	m.report(t)
}

// evidence is one signature or attestation to make.
type evidence struct {
	signing        sigstore.Signing
	kind           kind
	object         object
	registry, host string
}

// String is a name for a test case.
func (e evidence) String() string {
	return fmt.Sprintf("%s-%s-%s-%s", e.signing, e.kind, e.object, e.registry)
}

// cell is the part of the matrix that the evidence belongs to.
func (e evidence) cell() string {
	who := "keyless"
	if e.signing.Key != nil {
		who = "key"
	}
	return fmt.Sprintf("%-13s %-8s %-7s %-11s %s", e.registry, e.signing.Form, who, e.kind, e.object)
}

// plain says whether the evidence is in Rekor v1 without more.
func (e evidence) plain() bool {
	return e.signing.Log == sigstore.RekorV1 && !e.signing.Timestamp && !e.signing.InToto
}

// exemplary says whether cosign is asked every question about the evidence,
// and not only those that may be answered with a yes.
func (e evidence) exemplary() bool {
	return e.plain() && e.object == image && e.registry == "distribution"
}

// evidence lists what can be made: about images with every log, about indexes
// and their children with the first.
func (c cast) evidence() []evidence {
	var all []evidence
	for _, g := range c.signings() {
		for _, k := range []kind{signature, attestation} {
			if k == signature && (g.CanSign() != nil || g.InToto) || k == attestation && g.CanAttest() != nil {
				continue
			}
			for _, o := range []object{image, index, child} {
				if e := (evidence{signing: g, kind: k, object: o}); o == image || e.plain() {
					all = append(all, e)
				}
			}
		}
	}
	return all
}

func (c cast) signings() []sigstore.Signing {
	var all []sigstore.Signing
	for _, client := range []sigstore.Client{sigstore.Cosign2, sigstore.Cosign3} {
		for _, form := range []sigstore.Form{sigstore.Tag, sigstore.Referrer, sigstore.Bundle} {
			for _, key := range []*sigstore.KeyPair{c.key, nil} {
				for _, g := range []sigstore.Signing{
					{Log: sigstore.RekorV1},
					{Log: sigstore.RekorV1, Timestamp: true},
					{Log: sigstore.RekorV1, InToto: true},
					{Log: sigstore.RekorV2},
					{Log: sigstore.NoLog},
					{Log: sigstore.NoLog, Timestamp: true},
				} {
					g.Client, g.Form, g.Key, g.Identity = client, form, key, c.identity
					all = append(all, g)
				}
			}
		}
	}
	return all
}

// matrix is the comparison under way.
type matrix struct {
	cast

	gate      *gate
	questions []question

	mu     sync.Mutex
	cells  map[string]*cell
	differ map[string]int // by what is documented
}

// cell counts answers.
type cell struct {
	accepted, refused int // by both cosigns and the gatekeeper
	documented        int // not the same, but known
	alone             int // refused by the gatekeeper; cosign was not asked
}

// compare makes evidence and asks everybody about it: what it is, what it is
// not, and about what else it might be taken for.
func (m *matrix) compare(t *testing.T, e evidence) {
	t.Helper()
	it, relative := push(t, e.object, e.host, strings.ToLower(e.String()))
	if e.kind == signature {
		m.stack.Sign(t, e.signing, it)
	} else {
		m.stack.Attest(t, e.signing, predicateType, []byte(`{"reviewer":"alice"}`), it)
	}
	j := m.gate.check(t, it)
	for _, q := range m.questions {
		m.ask(t, e, q, e.kind, it, j, q.suits(e.signing) || e.exemplary(), q.suits(e.signing))
		m.ask(t, e, q, otherThan(e.kind), it, j, q.suits(e.signing) && e.exemplary(), false)
	}
	if relative == "" {
		return
	}
	// Evidence is about one digest: that of an index says nothing of its
	// children, nor the other way round.
	j = m.gate.check(t, relative)
	for _, q := range m.questions {
		m.ask(t, e, q, e.kind, relative, j, q.suits(e.signing), false)
	}
}

// otherThan is signature for attestation and the other way round.
func otherThan(k kind) kind { return attestation - k }

// ask compares the answers to one question; may says whether a yes can be
// right.
func (m *matrix) ask(t *testing.T, e evidence, q question, k kind, image string, j judgement, cosign, may bool) {
	t.Helper()
	if !q.about(k) {
		return
	}
	o := observation{evidence: e, asked: k, question: q.name, ours: j.accepts(t, q.policy(e.registry, k))}
	if o.ours && !may {
		t.Errorf("accepted as %s to %s: %s", k, q.name, j.text)
	}
	if !cosign {
		m.count(e, func(c *cell) { c.alone++ })
		return
	}
	said2 := q.cosign(t, sigstore.Cosign2, e.signing, k, image)
	said3 := q.cosign(t, sigstore.Cosign3, e.signing, k, image)
	o.cosign2, o.cosign3 = said2 == nil, said3 == nil
	switch why := o.documented(); {
	case o.same() && o.ours:
		m.count(e, func(c *cell) { c.accepted++ })
	case o.same():
		m.count(e, func(c *cell) { c.refused++ })
	case why != "":
		m.count(e, func(c *cell) { c.documented++; m.differ[why]++ })
	default:
		t.Errorf("%s as %s to %s: cosign 2 says %t, cosign 3 %t, the gatekeeper %t\n%v\n%v\n%s", e, k, q.name, o.cosign2, o.cosign3, o.ours, said2, said3, j.text)
	}
}

func (m *matrix) count(e evidence, add func(*cell)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cells[e.cell()] == nil {
		m.cells[e.cell()] = &cell{}
	}
	add(m.cells[e.cell()])
}

// report prints the matrix. Every cell has to have a yes and a no of all three,
// and every documented difference has to exist.
func (m *matrix) report(t *testing.T) {
	t.Helper()
	var sum cell
	for _, name := range slices.Sorted(maps.Keys(m.cells)) {
		c := *m.cells[name]
		t.Logf("%s: %d accepted, %d refused, %d differ as documented, %d refused unasked", name, c.accepted, c.refused, c.documented, c.alone)
		if c.accepted == 0 || c.alone+c.refused == 0 {
			t.Errorf("%s: not both accepted and refused", name)
		}
		sum = cell{sum.accepted + c.accepted, sum.refused + c.refused, sum.documented + c.documented, sum.alone + c.alone}
	}
	for _, d := range differences() {
		t.Logf("%d times: %s", m.differ[d.why], d.why)
		if m.differ[d.why] == 0 {
			t.Errorf("no longer so: %s", d.why)
		}
	}
	t.Logf("together: %d accepted, %d refused, %d differ as documented, %d refused unasked", sum.accepted, sum.refused, sum.documented, sum.alone)
}
