package summary_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/cosignkey"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys/keystest"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func sum(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func facts() summary.Facts {
	return summary.Facts{
		Verifier: summary.Verifier{ID: summary.DefaultVerifier, Version: "v1.2.3"}, Golden: "golden.example.com/team-a/app", Digest: sum("a"),
		Tags: []string{"v1", "stable"}, Policy: "services", Fingerprint: sum("f"), Source: "registry.example.com/team-a/app",
		Order:  summary.Order{Push: 2, Decision: 7},
		At:     time.Date(2026, 11, 20, 9, 0, 0, 123, time.FixedZone("CET", 3600)),
		Inputs: []policy.Input{{Manifest: sum("1")}, {Manifest: sum("2"), Digest: sum("b")}, {Manifest: sum("4"), Digest: sum("c")}, {Manifest: "none"}},
	}
}

func statement(t *testing.T, f summary.Facts) []byte {
	t.Helper()
	text, err := summary.Statement(f)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// signer is a signer with the public key that belongs to it.
func signer(t *testing.T) (summary.Signer, []byte) {
	t.Helper()
	key, public := keystest.New(t)
	return summary.KeySigner{Key: key}, public
}

func TestAStatementSaysWhatWasVerified(t *testing.T) {
	t.Parallel()
	const want = `{"_type":"https://in-toto.io/Statement/v1",
"subject":[
 {"name":"golden.example.com/team-a/app:v1","digest":{"sha256":"AAA"}},
 {"name":"golden.example.com/team-a/app:stable","digest":{"sha256":"AAA"}}],
"predicateType":"https://slsa.dev/verification_summary/v1",
"predicate":{
 "verifier":{"id":"https://github.com/golden-gatekeeper/gatekeeper","version":{"gatekeeper":"v1.2.3"}},
 "timeVerified":"2026-11-20T08:00:00.000000123Z",
 "resourceUri":"golden.example.com/team-a/app@sha256:AAA",
 "policy":{"uri":"gatekeeper:policy/services","digest":{"sha256":"FFF"}},
 "inputAttestations":[
  {"uri":"registry.example.com/team-a/app@sha256:111","digest":{"sha256":"111"}},
  {"uri":"registry.example.com/team-a/app@sha256:222","digest":{"sha256":"BBB"}},
  {"uri":"registry.example.com/team-a/app@sha256:444","digest":{"sha256":"CCC"}}],
 "verificationResult":"PASSED","verifiedLevels":["GATEKEEPER_GOLDEN"],"slsaVersion":"1.2",
 "https://github.com/golden-gatekeeper/gatekeeper/order":{"push":2,"decision":7}}}`
	text := want
	for short, c := range map[string]string{"AAA": "a", "FFF": "f", "BBB": "b", "CCC": "c", "111": "1", "222": "2", "444": "4"} {
		text = strings.ReplaceAll(text, short, strings.Repeat(c, 64))
	}
	if diff := cmp.Diff(strings.NewReplacer("\n  ", "", "\n ", "", "\n", "").Replace(text), string(statement(t, facts()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again := facts()
	again.At = again.At.UTC()
	if string(statement(t, again)) != string(statement(t, facts())) {
		t.Error("the same facts make other bytes")
	}
}

func TestStatementsAboutTheSameApproval(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*summary.Facts)
		same   bool
	}{
		"nothing":        {func(*summary.Facts) {}, true},
		"the version":    {func(f *summary.Facts) { f.Verifier.Version = "v2" }, true},
		"no order":       {func(f *summary.Facts) { f.Order = summary.Order{} }, true},
		"another order":  {func(f *summary.Facts) { f.Order.Decision++ }, false},
		"the verifier":   {func(f *summary.Facts) { f.Verifier.ID = "https://other.example" }, false},
		"a tag more":     {func(f *summary.Facts) { f.Tags = append(f.Tags, "v2") }, false},
		"another time":   {func(f *summary.Facts) { f.At = f.At.Add(1) }, false},
		"other evidence": {func(f *summary.Facts) { f.Inputs = f.Inputs[1:] }, false},
		"another policy": {func(f *summary.Facts) { f.Fingerprint = sum("e") }, false},
		"another digest": {func(f *summary.Facts) { f.Digest = sum("d") }, false},
		"another place":  {func(f *summary.Facts) { f.Golden = "golden.example.com/app" }, false},
		"another source": {func(f *summary.Facts) { f.Source = "registry.example.com/app" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := facts()
			tt.change(&f)
			if got := summary.Same(statement(t, facts()), statement(t, f)); got != tt.same {
				t.Errorf("same: %v", got)
			}
		})
	}
	if summary.Same([]byte("x"), []byte("x")) {
		t.Error("what is no statement is the same as something")
	}
}

func TestFactsThatMakeNoStatement(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*summary.Facts){
		"no digest":      func(f *summary.Facts) { f.Digest = "" },
		"another digest": func(f *summary.Facts) { f.Digest = "sha512:" + strings.Repeat("a", 64) },
		"no fingerprint": func(f *summary.Facts) { f.Fingerprint = "" },
		"no tag":         func(f *summary.Facts) { f.Tags = nil },
		"endless tags":   func(f *summary.Facts) { f.Tags = make([]string, 2000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := facts()
			change(&f)
			if text, err := summary.Statement(f); err == nil {
				t.Errorf("made %s", text)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	own, public := signer(t)
	stranger, strangersKey := signer(t)
	signed := func(s summary.Signer, statement []byte) []byte {
		b, err := s.Sign(t.Context(), statement)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := statement(t, facts())
	// rewrap changes the envelope of a bundle.
	rewrap := func(b []byte, change func(envelope map[string]any)) []byte {
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		change(m["dsseEnvelope"].(map[string]any)) //nolint:forcetypeassert,errcheck // the shape is known
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	otherTag := facts()
	otherTag.Tags = []string{"v2"}
	for name, tt := range map[string]struct {
		bundle []byte
		digest string
		want   error // nil: it opens
	}{
		"our own":                  {signed(own, good), sum("a"), nil},
		"a stranger's":             {signed(stranger, good), sum("a"), summary.ErrUnknownSigner},
		"about another digest":     {signed(own, good), sum("b"), summary.ErrOtherDigest},
		"another predicate":        {signed(own, []byte(strings.Replace(string(good), summary.PredicateType, "https://slsa.dev/provenance/v1", 1))), sum("a"), summary.ErrOther},
		"another statement's type": {signed(own, []byte(strings.Replace(string(good), "Statement/v1", "Statement/v9", 1))), sum("a"), summary.ErrMalformed},
		"a statement that is none": {signed(own, []byte("PASSED")), sum("a"), summary.ErrOther},
		"a key twice":              {signed(own, []byte(strings.Replace(string(good), `"slsaVersion"`, `"verificationResult":"FAILED","slsaVersion"`, 1))), sum("a"), summary.ErrOther},
		"another payload under the signature": {rewrap(signed(own, good), func(e map[string]any) {
			e["payload"] = base64.StdEncoding.EncodeToString(statement(t, otherTag))
		}), sum("a"), summary.ErrUnknownSigner},
		"another payload type": {rewrap(signed(own, good), func(e map[string]any) { e["payloadType"] = "text/plain" }), sum("a"), summary.ErrOther},
		"no signature":         {rewrap(signed(own, good), func(e map[string]any) { e["signatures"] = []any{} }), sum("a"), summary.ErrUnknownSigner},
		"no bundle":            {[]byte("{}"), sum("a"), summary.ErrMalformed},
		"garbage":              {[]byte("\x00"), sum("a"), summary.ErrMalformed},
		"endless":              {make([]byte, summary.MaxBundle+1), sum("a"), summary.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trust, err := summary.NewTrust([][]byte{public}, nil)
			if err != nil {
				t.Fatal(err)
			}
			s, err := trust.Open(tt.bundle, tt.digest)
			if tt.want != nil {
				if !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := summary.Summary{
				Verifier: summary.DefaultVerifier, At: facts().At.UTC(), Order: facts().Order, ResourceURI: "golden.example.com/team-a/app@" + sum("a"),
				Policy: "gatekeeper:policy/services", Fingerprint: sum("f"), Result: "PASSED", Levels: []string{"GATEKEEPER_GOLDEN"},
				Names: []string{"golden.example.com/team-a/app:v1", "golden.example.com/team-a/app:stable"}, Payload: good,
			}
			if diff := cmp.Diff(want, s); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("an envelope without a bundle", func(t *testing.T) {
		t.Parallel()
		trust, err := summary.NewTrust([][]byte{public}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for s, want := range map[summary.Signer]error{own: nil, stranger: summary.ErrUnknownSigner} {
			envelope, err := summary.Envelope(signed(s, good))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := trust.OpenEnvelope(envelope, sum("a")); !errors.Is(err, want) || err == nil && !got.Approves("golden.example.com/team-a/app:v1") {
				t.Errorf("%+v, %v, want %v", got, err, want)
			}
			if _, err := trust.OpenEnvelope(envelope, sum("b")); !errors.Is(err, summary.ErrOtherDigest) {
				t.Errorf("another digest: %v", err)
			}
		}
		for _, text := range []string{"", "{}", "x", `{"payload":"e30="}`, `{},"verificationMaterial":{}`, `{"payload":1}`} {
			if _, err := trust.OpenEnvelope([]byte(text), sum("a")); !errors.Is(err, summary.ErrMalformed) && !errors.Is(err, summary.ErrOther) {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
	t.Run("after a rotation either key counts", func(t *testing.T) {
		t.Parallel()
		trust, err := summary.NewTrust([][]byte{public, strangersKey}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []summary.Signer{own, stranger} {
			if _, err := trust.Open(signed(s, good), sum("a")); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("trusting nobody is a mistake", func(t *testing.T) {
		t.Parallel()
		if _, err := summary.NewTrust(nil, nil); err == nil {
			t.Error("no key")
		}
		if _, err := summary.NewTrust(nil, &summary.Identity{Issuer: "https://issuer.example"}); err == nil {
			t.Error("anybody of an issuer")
		}
		if _, err := summary.NewTrust([][]byte{[]byte("x")}, nil); err == nil {
			t.Error("no PEM")
		}
	})
}

func FuzzOpen(f *testing.F) {
	pair, err := cosignkey.Generate(nil)
	if err != nil {
		f.Fatal(err)
	}
	trust, err := summary.NewTrust([][]byte{pair.Public}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"x"}},"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AA=="}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := trust.Open(data, sum("a")); err == nil {
			t.Error("nobody signed this")
		}
	})
}
