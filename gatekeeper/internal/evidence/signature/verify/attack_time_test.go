package verify_test

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// A stranger's certificate is put before the signer's in a timestamp, so that
// the one is examined and the other has signed.
func TestAttack_CVE_2026_39984(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	trusted := in.trusting(byClocks())
	honest := in.tsas[0]
	// The authority's root signed for others too: a second clock, which the
	// trust root does not name, and somebody who is no clock.
	second := &tsa{leaf: in.certify(clock("second"), honest.root), root: honest.root}
	person := &tsa{leaf: in.certify(&x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}, honest.root)}
	template := clock("clock")
	template.SerialNumber = honest.leaf.SerialNumber
	lookalike := in.certify(template, in.certify(authority("clock root"), nil))
	forger := &tsa{leaf: lookalike}
	for _, f := range forms() {
		for name, tt := range map[string]struct {
			by    *tsa
			first *x509.Certificate
		}{
			"another clock of the root":                  {second, nil},
			"another clock, the true certificate first":  {second, honest.leaf.Certificate},
			"another clock, a forged certificate first":  {second, lookalike.Certificate},
			"no clock, the true certificate first":       {person, honest.leaf.Certificate},
			"no clock, a forged certificate first":       {person, lookalike.Certificate},
			"a forger with its own certificate":          {forger, nil},
			"a forger, the true certificate first":       {forger, honest.leaf.Certificate},
			"the true clock, a forged certificate first": {honest, lookalike.Certificate},
		} {
			e := in.of(f, in.leaf(workflow))
			wantVerified(t, trusted, e)
			e.timestamps = [][]byte{in.stamp(tt.by, e.signature, in.now)}
			if tt.first != nil {
				e.timestamps[0] = prepended(t, e.timestamps[0], tt.first)
			}
			t.Run(string(f)+"/"+name, func(t *testing.T) {
				wantRefused(t, trusted, e.item(t), policy.Invalid, "threshold not met for verified signed timestamps")
			})
		}
	}
}

// prepended puts a certificate before the others of a timestamp (RFC 5652,
// section 5.1).
func prepended(t *testing.T, der []byte, cert *x509.Certificate) []byte {
	t.Helper()
	type contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	type signedData struct {
		Version                  int
		Algorithms, Content, Bag asn1.RawValue
		SignerInfos              asn1.RawValue
	}
	var response struct {
		Status asn1.RawValue
		Token  contentInfo
	}
	var data signedData
	must := func(rest []byte, err error) {
		if err != nil || len(rest) > 0 {
			t.Fatal(err, len(rest))
		}
	}
	must(asn1.Unmarshal(der, &response))
	must(asn1.Unmarshal(response.Token.Content.Bytes, &data))
	data.Bag.Bytes = append(slices.Clone(cert.Raw), data.Bag.Bytes...)
	data.Bag.FullBytes = nil
	inner, err := asn1.Marshal(data)
	must(nil, err)
	response.Token.Content = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}
	out, err := asn1.Marshal(response)
	must(nil, err)
	return out
}

// An integrated time that the log did not promise makes an expired
// certificate look as if it had been used in time.
func TestAttack_TOB_SIGSTORE_2(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	for _, f := range forms() {
		leaf := in.leaf(workflow)
		late := in.now.Add(time.Hour) // when the thief of the key signs
		e := in.of(f, leaf)
		e.timestamps = nil
		wantVerified(t, in.trusting(byDefault()), e)
		e.entries[0] = in.entry(in.logs[0], e, leaf, late, 1)
		wantRefused(t, in.trusting(byDefault()), e.item(t), policy.Invalid, "integrated time outside certificate validity")
		e.entries[0].IntegratedTime = in.now.Unix() // the promise is over the true time
		wantRefused(t, in.trusting(byDefault()), e.item(t), policy.Invalid, "not enough verified log entries")
		if f != bundle {
			continue
		}
		// A good proof of inclusion says nothing about the time.
		e.entries[0].InclusionPromise = nil
		wantRefused(t, in.trusting(byDefault()), e.item(t), policy.Invalid, "threshold not met")
	}
}

// One timestamp from the certificate's time, and one from after it: one good
// time is not enough, in whatever order they come.
func TestAttack_TOB_SIGSTORE_3(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	in.tsas = append(in.tsas, in.newTSA("second"))
	for _, require := range []verify.Require{byDefault(), byClocks()} {
		for _, swap := range []bool{false, true} {
			e := in.of(bundle, in.leaf(workflow))
			wantVerified(t, in.trusting(require), e)
			e.timestamps[1] = in.stamp(in.tsas[1], e.signature, in.now.Add(time.Hour))
			if swap {
				slices.Reverse(e.timestamps)
			}
			wantRefused(t, in.trusting(require), e.item(t), policy.Invalid, "failed to verify leaf certificate")
		}
	}
	// The time of the log and that of an authority disagree.
	for _, f := range forms() {
		e := in.of(f, in.leaf(workflow))
		e.timestamps = [][]byte{in.stamp(in.tsas[0], e.signature, in.now.Add(time.Hour))}
		wantRefused(t, in.trusting(byDefault()), e.item(t), policy.Invalid, "failed to verify leaf certificate")
	}
}

// An envelope with a good signature and another one: which of them counts is
// for nobody to choose.
func TestAttack_TOB_SIGSTORE_4(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	key := in.newKey()
	trusted := in.trusting(byDefault(), verify.Key{ID: "ci", PublicKey: in.keyInLog(key).PublicKey})
	for _, f := range []form{att, bundle} {
		for name, by := range map[string]*certificate{"certificate": in.leaf(workflow), "key": {key: key}} {
			for _, second := range []string{"first", "last", "none"} {
				e := in.of(f, by)
				wantVerified(t, trusted, e)
				item := e.item(t)
				item.Data = withSignatures(t, item.Data, second)
				t.Run(string(f)+"/"+name+"/"+second, func(t *testing.T) {
					wantRefused(t, trusted, item, policy.Malformed, "it has to have one")
				})
			}
		}
	}
}

// withSignatures adds a signature before or after that of an envelope, or
// takes it away.
func withSignatures(t *testing.T, data []byte, where string) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	env := doc
	if inner, ok := doc["dsseEnvelope"].(map[string]any); ok {
		env = inner
	}
	list, ok := env["signatures"].([]any)
	if !ok {
		t.Fatal("no signatures")
	}
	other := map[string]any{"sig": "AAAA"}
	switch where {
	case "first":
		env["signatures"] = append([]any{other}, list...)
	case "last":
		env["signatures"] = append(list, other)
	default:
		env["signatures"] = []any{}
	}
	return mustJSON(t, doc)
}

// A timestamp authority that no longer counts stamps with the key it had, and
// another one with the same root still counts.
func TestAttack_TOB_SIGSTORE_9(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	old := in.tsas[0]
	current := &tsa{leaf: in.certify(clock("clock"), old.root), root: old.root, uri: old.uri, from: in.now.Add(-time.Minute), until: old.until}
	old.until = in.now.Add(-time.Minute)
	in.tsas = []*tsa{old, current}
	for _, f := range forms() {
		e := in.of(f, in.leaf(workflow))
		e.timestamps = [][]byte{in.stamp(current, e.signature, in.now)}
		wantVerified(t, in.trusting(byClocks()), e)
		e.timestamps = [][]byte{in.stamp(old, e.signature, in.now)}
		wantRefused(t, in.trusting(byClocks()), e.item(t), policy.Invalid, "threshold not met for verified signed timestamps")
	}
	// A late one beside a good one by the same authority.
	for _, swap := range []bool{false, true} {
		e := in.of(bundle, in.leaf(workflow))
		e.timestamps = [][]byte{in.stamp(current, e.signature, in.now), in.stamp(current, e.signature, in.now.Add(time.Hour))}
		if swap {
			slices.Reverse(e.timestamps)
		}
		wantRefused(t, in.trusting(byClocks()), e.item(t), policy.Invalid, "certificate")
	}
}

// A timestamp from outside of its authority's validity: alone, and beside a
// good one.
func TestAttack_TOB_SIGSTORE_11(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	in.tsas = append(in.tsas, in.newTSA("second"))
	for name, change := range map[string]func(*tsa){
		"retired":      func(a *tsa) { a.until = in.now.Add(-time.Second) },
		"not yet used": func(a *tsa) { a.from = in.now.Add(time.Second) },
	} {
		old := *in.tsas[1]
		change(in.tsas[1])
		trusted, logged := in.trusting(byClocks()), in.trusting(byDefault())
		for _, f := range forms() {
			e := in.of(f, in.leaf(workflow))
			e.timestamps = e.timestamps[1:]
			wantRefused(t, trusted, e.item(t), policy.Invalid, "threshold not met for verified signed timestamps")
			wantRefused(t, logged, e.item(t), policy.Invalid, "outside of its authority's validity")
		}
		e := in.of(bundle, in.leaf(workflow))
		wantRefused(t, trusted, e.item(t), policy.Invalid, "outside of its authority's validity")
		slices.Reverse(e.timestamps)
		wantRefused(t, trusted, e.item(t), policy.Invalid, "outside of its authority's validity")
		t.Log(name)
		*in.tsas[1] = old
	}
}
