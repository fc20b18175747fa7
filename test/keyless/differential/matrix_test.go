package differential_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

// observation is what everybody answers to one question about one piece of
// evidence.
type observation struct {
	signing  sigstore.Signing
	kind     kind
	object   object
	question string

	cosign2, cosign3, ours bool
}

// TestVerdictsAreThoseOfCosign lets both cosigns write evidence in every way
// that they can, and asks them and the gatekeeper the same questions about it.
func TestVerdictsAreThoseOfCosign(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	registries := map[string]string{"distribution": sigstore.NewRegistry(t), "referrers-api": sigstore.NewReferrersRegistry(t)}
	questions := c.questions(t)
	m := &matrix{cast: c, questions: questions, gate: startGate(t, settings{registries, c.trustRoots(), policies(questions, registries)})}
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
	t.Log(m.counts())
	for i, d := range differences() {
		if m.found[i] == 0 {
			t.Errorf("the clients do not differ any more: %s", d.why)
		}
	}
}

// evidence is one signature or attestation to make.
type evidence struct {
	signing        sigstore.Signing
	kind           kind
	object         object
	registry, host string
}

func (e evidence) String() string {
	return fmt.Sprintf("%s-%s-%s-%s", e.signing, e.kind, e.object, e.registry)
}

// plain says whether the evidence is of the usual kind for its form: logged to
// Rekor v1, without more. Of these, everything is asked.
func (e evidence) plain() bool {
	return e.signing.Log == sigstore.RekorV1 && !e.signing.Timestamp && !e.signing.InToto
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

	mu    sync.Mutex
	equal map[string]int // by who signed and in which form
	asked int            // of the gatekeeper alone: what is refused without asking cosign
	found map[int]int    // by difference
}

// compare makes evidence and asks everybody about it.
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
		if !q.about(e.kind) {
			continue
		}
		ours := j.accepts(t, q.policy(e.registry, e.kind))
		if !q.suits(e.signing) && !e.plain() {
			m.alone(t, q, ours, j)
			continue
		}
		m.judge(t, e, q, ours, it, j)
	}
	for _, k := range []kind{signature, attestation} {
		if k != e.kind {
			m.otherKind(t, e, k, j)
		}
	}
	if relative != "" {
		m.relative(t, e, relative)
	}
}

func (m *matrix) otherKind(t *testing.T, e evidence, k kind, j judgement) {
	t.Helper()
	for _, q := range m.questions {
		if q.about(k) {
			m.alone(t, q, j.accepts(t, q.policy(e.registry, k)), j)
		}
	}
}

// relative asks about the index of the child that has evidence, or the other
// way round: evidence is about one digest.
func (m *matrix) relative(t *testing.T, e evidence, relative string) {
	t.Helper()
	j := m.gate.check(t, relative)
	for _, q := range m.questions {
		if !q.about(e.kind) {
			continue
		}
		ours := j.accepts(t, q.policy(e.registry, e.kind))
		if q.suits(e.signing) {
			m.judge(t, e, q, ours, relative, j)
		}
		m.alone(t, q, ours, j)
	}
}

// alone counts a refusal without asking cosign.
func (m *matrix) alone(t *testing.T, q question, ours bool, j judgement) {
	t.Helper()
	if ours {
		t.Errorf("accepted as %s: %s", q.name, j.text)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
}

// judge compares the answers to one question.
func (m *matrix) judge(t *testing.T, e evidence, q question, ours bool, image string, j judgement) {
	t.Helper()
	said2 := q.cosign(t, sigstore.Cosign2, e.signing, e.kind, image)
	said3 := q.cosign(t, sigstore.Cosign3, e.signing, e.kind, image)
	o := observation{e.signing, e.kind, e.object, q.name, said2 == nil, said3 == nil, ours}
	m.mu.Lock()
	defer m.mu.Unlock()
	if o.cosign2 == ours && o.cosign3 == ours {
		if m.equal == nil {
			m.equal = map[string]int{}
		}
		m.equal["equal"]++
		return
	}
	for i, d := range differences() {
		if d.is(o) {
			if m.found == nil {
				m.found = map[int]int{}
			}
			m.found[i]++
			return
		}
	}
	t.Errorf("DIFF %s: cosign 2 %t, cosign 3 %t, gatekeeper %t\n%v\n%v\n%s", q.name, o.cosign2, o.cosign3, ours, said2, said3, j.text)
}

func (m *matrix) counts() string { return fmt.Sprint(m.equal, m.found, m.asked) }

type difference struct {
	why string
	is  func(observation) bool
}

func differences() []difference { return nil }
