package verify_test

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// A payload that cannot be read, with a good signature by somebody we trust.
func TestAttack_CVE_2026_39395(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	key := in.newKey()
	trusted := in.trusting(byDefault(), verify.Key{ID: "ci", PublicKey: in.keyInLog(key).PublicKey})
	good := payloadOf(att, subjectDigest())
	for name, payload := range map[string][]byte{
		"no JSON":            []byte("all is well"),
		"nothing":            {},
		"cut off":            good[:len(good)-1],
		"more after it":      append(bytes.Clone(good), '{', '}'),
		"null":               []byte("null"),
		"a list":             []byte("[]"),
		"no statement":       []byte(`{"predicateType":"https://in-toto.io/attestation/test-result/v0.1","predicate":{}}`),
		"no UTF-8":           bytes.Replace(good, []byte("app"), []byte{0xff, 0xfe}, 1)[:40],
		"subjects of a kind": bytes.Replace(good, []byte(`[{"name"`), []byte(`{"x":{"name"`), 1),
		"no predicate type":  bytes.Replace(good, []byte("predicateType"), []byte("predicatetyp"), 1),
	} {
		for _, f := range []form{att, bundle} {
			for who, by := range map[string]*certificate{"certificate": in.leaf(workflow), "key": {key: key}} {
				t.Run(string(f)+"/"+who+"/"+name, func(t *testing.T) {
					wantRefused(t, trusted, in.signed(f, by, payload).item(t), policy.Malformed, "")
				})
			}
		}
	}
	for _, f := range []form{att, bundle} {
		item := in.of(f, &certificate{key: key}).item(t)
		item.Data = bytes.Replace(item.Data, []byte(base64.StdEncoding.EncodeToString(payloadOf(f, subjectDigest()))), []byte("%%%"), 1)
		wantRefused(t, trusted, item, policy.Malformed, "")
	}
}

// spoiled is values that stand in the place of an annotation or of a part of
// one.
func spoiled(good string) []string {
	bad := []string{
		"", " ", "null", "{}", "[]", "0", "true", `"x"`, "\x00", "{", `{"a":`, strings.Repeat("[", 10_000), strings.Repeat("A", 1<<20),
		good + good, good[:len(good)/2], strings.ReplaceAll(good, "A", "B"), "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", base64.StdEncoding.EncodeToString([]byte("\x30\x80\x30\x80\x00\x00")),
	}
	return slices.DeleteFunc(bad, func(s string) bool { return s == good }) // there is not always an A in it
}

// survives has an item judged that is broken on purpose. A panic ends the
// test; and whoever signs it must be who signed the good one.
func survives(tb testing.TB, trusted *verify.Trusted, item verify.Item) verify.Answer {
	tb.Helper()
	a := judge(tb, trusted, item)
	for _, id := range a.Identities {
		if id.Subject != workflow {
			tb.Errorf("it is by %+v", id)
		}
	}
	return a
}

// annotated tests one annotation with every spoiled value, and with every part
// of it exchanged.
func annotated(t *testing.T, name string) {
	t.Helper()
	in := newInstance(t)
	require := byDefault()
	if name == "dev.sigstore.cosign/rfc3161timestamp" {
		require = byClocks()
	}
	trusted := in.trusting(require, in.keyInLog(in.newKey()))
	random := rand.New(rand.NewSource(1))
	for _, f := range []form{sig, att} {
		good := in.of(f, in.leaf(workflow)).item(t)
		value := good.Annotations[name]
		try := func(spoiled string) policy.Verification {
			item := good
			item.Annotations = maps.Clone(good.Annotations)
			item.Annotations[name] = spoiled
			return survives(t, trusted, item).Result
		}
		if try(value) != policy.Verified {
			t.Fatal("before the attack")
		}
		for _, bad := range spoiled(value) {
			if got := try(bad); got == policy.Verified {
				t.Errorf("%s: verified with %.40q", f, bad)
			}
		}
		for _, bad := range parts(value) {
			if got := try(bad); got == policy.Verified {
				t.Errorf("%s: verified with %.200q", f, bad)
			}
		}
		for range 2000 {
			try(mutated(random, value))
		}
	}
}

// parts exchanges each part of a JSON document for values of other kinds, also
// of a document in base64 within it.
func parts(text string) []string {
	var doc any
	if json.Unmarshal([]byte(text), &doc) != nil {
		return nil
	}
	var all []string
	var walk func(v any, put func(any) string)
	walk = func(v any, put func(any) string) {
		for _, bad := range []any{nil, true, 7.0, -1.0, 1e300, "x", "", []any{}, []any{nil}, map[string]any{}, map[string]any{"x": nil}} {
			all = append(all, put(bad))
		}
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				walk(inner, func(bad any) string {
					changed := maps.Clone(v)
					changed[key] = bad
					return put(changed)
				})
			}
		case []any:
			for i, inner := range v {
				walk(inner, func(bad any) string {
					changed := append([]any{}, v...)
					changed[i] = bad
					return put(changed)
				})
			}
		case string:
			var inside any
			decoded, err := base64.StdEncoding.DecodeString(v)
			if err != nil || json.Unmarshal(decoded, &inside) != nil {
				return
			}
			if _, ok := inside.(map[string]any); ok {
				walk(inside, func(bad any) string {
					data, _ := json.Marshal(bad) //nolint:errchkjson // it was decoded from JSON
					return put(base64.StdEncoding.EncodeToString(data))
				})
			}
		}
	}
	walk(doc, func(bad any) string {
		data, _ := json.Marshal(bad) //nolint:errchkjson // it was decoded from JSON
		return string(data)
	})
	return all
}

// mutated changes some bytes.
func mutated(random *rand.Rand, text string) string {
	data := []byte(text)
	for range 1 + random.Intn(4) {
		switch i := random.Intn(len(data)); random.Intn(4) {
		case 0:
			data[i] = byte(random.Intn(256))
		case 1:
			data = append(data[:i], data[min(len(data)-1, i+random.Intn(16)):]...)
		case 2:
			data[i] = []byte(`{}[]":,0-\`)[random.Intn(10)]
		default:
			data = append(data[:i], append([]byte(`null`), data[i:]...)...)
		}
		if len(data) == 0 {
			return ""
		}
	}
	return string(data)
}

// A signature annotation of any other kind.
func TestAttack_COSIGN_4648(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	key := in.newKey()
	trusted := in.trusting(byDefault(), verify.Key{ID: "ci", PublicKey: in.keyInLog(key).PublicKey}, in.keyInLog(in.newKey()))
	for _, by := range []*certificate{{key: key}, in.leaf(workflow)} {
		good := in.of(sig, by).item(t)
		const name = "dev.cosignproject.cosign/signature"
		random := rand.New(rand.NewSource(1))
		values := append(spoiled(good.Annotations[name]), "AA==", "MAA=", "MAYCAQACAQA=", "MAYCAQECAf8=")
		for range 500 {
			values = append(values, mutated(random, good.Annotations[name]))
		}
		for _, bad := range values {
			item := good
			item.Annotations = maps.Clone(good.Annotations)
			item.Annotations[name] = bad
			if a := survives(t, trusted, item); a.Result == policy.Verified && !sameBytes(bad, good.Annotations[name]) {
				t.Errorf("verified with %.60q", bad)
			}
		}
		item := good
		item.Annotations = nil
		wantRefused(t, trusted, item, policy.Malformed, "the annotation with the signature")
		item.Annotations = map[string]string{name: "%%%"}
		wantRefused(t, trusted, item, policy.Malformed, "the annotation with the signature")
	}
}

// sameBytes says whether two texts are base64 of the same bytes: its reader
// passes over line ends.
func sameBytes(a, b string) bool {
	x, errX := base64.StdEncoding.DecodeString(a)
	y, errY := base64.StdEncoding.DecodeString(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// A certificate annotation that holds no certificate.
func TestAttack_COSIGN_4649(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	trusted := in.trusting(byDefault(), in.keyInLog(in.newKey()))
	random := rand.New(rand.NewSource(1))
	for _, f := range []form{sig, att} {
		good := in.of(f, in.leaf(workflow)).item(t)
		const name = "dev.sigstore.cosign/certificate"
		values := []string{}
		for _, bad := range spoiled(good.Annotations[name]) {
			if !strings.HasPrefix(bad, good.Annotations[name]) {
				values = append(values, bad)
			}
		}
		for _, bad := range values {
			item := good
			item.Annotations = maps.Clone(good.Annotations)
			item.Annotations[name] = bad
			if a := survives(t, trusted, item); a.Result == policy.Verified {
				t.Errorf("%s: verified with %.40q", f, bad)
			}
		}
		for range 2000 {
			item := good
			item.Annotations = maps.Clone(good.Annotations)
			item.Annotations[name] = mutated(random, good.Annotations[name])
			survives(t, trusted, item)
		}
	}
}

// A log entry annotation whose parts are of other kinds.
func TestAttack_COSIGN_4651(t *testing.T) {
	t.Parallel()
	annotated(t, "dev.sigstore.cosign/bundle")
}

// A timestamp annotation that holds no timestamp.
func TestAttack_COSIGN_4652(t *testing.T) {
	t.Parallel()
	annotated(t, "dev.sigstore.cosign/rfc3161timestamp")
}

// A bundle or envelope whose parts are of other kinds.
func TestAttack_COSIGN_4653(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	trusted := in.trusting(byDefault(), in.keyInLog(in.newKey()))
	random := rand.New(rand.NewSource(1))
	for _, f := range []form{att, bundle} {
		good := in.of(f, in.leaf(workflow)).item(t)
		for _, bad := range spoiled(string(good.Data)) {
			item := good
			item.Data = []byte(bad)
			if a := survives(t, trusted, item); a.Result == policy.Verified {
				t.Errorf("%s: verified with %.40q", f, bad)
			}
		}
		values := parts(string(good.Data))
		for range 2000 {
			values = append(values, mutated(random, string(good.Data)))
		}
		for _, bad := range values {
			item := good
			item.Data = []byte(bad)
			survives(t, trusted, item)
		}
	}
}

// used measures the bytes that a call allocates, and how long it takes. Not
// for parallel tests.
func used(call func()) (bytes uint64, took time.Duration) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	call()
	took = time.Since(start)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, took
}

// half a MiB of a bundle's layer that inflates to 512 MiB.
func TestAttack_GHSA_cq2j_v5qh_cjqh(t *testing.T) {
	bomb := inflating(t, 512<<20)
	trusted := newInstance(t).trusting(byDefault())
	for _, mediaType := range []string{"application/vnd.dev.sigstore.bundle.v0.3+json", verify.TypeDSSE, verify.TypeSimpleSigning} {
		item := verify.Item{MediaType: mediaType, Data: bomb, Subject: gatekeeper.Descriptor{Digest: subjectDigest()}}
		var a verify.Answer
		memory, took := used(func() { a = judge(t, trusted, item) })
		t.Logf("%d KiB in, %d MiB allocated in all, %s", len(bomb)>>10, memory>>20, took)
		if memory > 64<<20 || took > time.Second {
			t.Errorf("%d bytes allocated, %s", memory, took)
		}
		if a.Result != policy.Malformed || !strings.Contains(a.Reason, "inflates to more than") {
			t.Errorf("%+v", a)
		}
	}
}

// inflating is a stream of gzip that inflates to so many spaces.
func inflating(tb testing.TB, size int64) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := io.CopyN(w, spaces{}, size); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A million subjects, and a hundred thousand log entries, in one bundle.
func TestAttack_CVE_2024_45395(t *testing.T) {
	in := newInstance(t)
	key := &certificate{key: in.newKey()}
	trusted := in.trusting(byDefault(), verify.Key{ID: "ci", PublicKey: in.keyInLog(key.key).PublicKey})
	subjects := []byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"x","predicate":{},"subject":[` + strings.Repeat(`{},`, 1_000_000) +
		`{"digest":{"sha256":"` + strings.TrimPrefix(subjectDigest(), "sha256:") + `"}}]}`)
	entries := in.of(bundle, key)
	entries.entries = nil
	for range 100_000 {
		entries.entries = append(entries.entries, &protorekor.TransparencyLogEntry{
			LogId: &protocommon.LogId{KeyId: []byte{1}}, KindVersion: &protorekor.KindVersion{Kind: "dsse", Version: "0.0.1"}, CanonicalizedBody: []byte("{}"),
		})
	}
	stamps := in.of(bundle, key)
	stamps.timestamps = make([][]byte, 100_000)
	for name, tt := range map[string]struct {
		item verify.Item
		want string
	}{
		"subjects, bundle":   {in.signed(bundle, key, subjects).item(t), "at most 1024 are read"},
		"subjects, envelope": {in.signed(att, key, subjects).item(t), "at most 1024 are read"},
		"log entries":        {entries.item(t), "100000 log entries"},
		"timestamps":         {stamps.item(t), "100000 timestamps"},
	} {
		var a verify.Answer
		memory, took := used(func() { a = judge(t, trusted, tt.item) })
		t.Logf("%s: %d MiB in, %d MiB allocated in all, %s", name, len(tt.item.Data)>>20, memory>>20, took)
		if a.Result != policy.Malformed || !strings.Contains(a.Reason, tt.want) {
			t.Errorf("%s: %+v", name, a)
		}
		if bound := uint64(64*len(tt.item.Data)) + 64<<20; memory > bound || took > 10*time.Second {
			t.Errorf("%s: %d bytes allocated, %s", name, memory, took)
		}
	}
}

// Documents that are made to be dear to read.
func TestAttack_CVE_2023_42813(t *testing.T) {
	in := newInstance(t)
	trusted := in.trusting(byDefault(), in.keyInLog(in.newKey()))
	const size = 4 << 20
	for name, data := range map[string]string{
		"nested lists":       strings.Repeat("[", size),
		"nested objects":     strings.Repeat(`{"a":`, size/5),
		"empty lists":        "[" + strings.Repeat("[],", size/3) + "[]]",
		"a long number":      strings.Repeat("9", size),
		"a long key":         `{"` + strings.Repeat("k", size) + `":1}`,
		"many keys":          manyKeys(size / 16),
		"escapes":            `"` + strings.Repeat(`\u0000`, size/6) + `"`,
		"nested in a bundle": `{"mediaType":` + strings.Repeat(`{"mediaType":`, size/13),
	} {
		for _, mediaType := range []string{"application/vnd.dev.sigstore.bundle.v0.3+json", verify.TypeDSSE, verify.TypeSimpleSigning} {
			item := verify.Item{
				MediaType: mediaType, Data: []byte(data), Subject: gatekeeper.Descriptor{Digest: subjectDigest()},
				Annotations: map[string]string{"dev.cosignproject.cosign/signature": "AAAA"},
			}
			memory, took := used(func() { wantRefused(t, trusted, item, policy.Malformed, "") })
			if memory > 256<<20 || took > 5*time.Second {
				t.Errorf("%s: %d bytes allocated, %s", name, memory, took)
			}
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		fmt.Fprintf(&b, `"k%09d":1,`, i)
	}
	b.WriteString(`"end":1}`)
	return b.String()
}

// A certificate names somebody with characters that change what a terminal
// shows.
func TestAttack_ControlCharacters(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	trusted := in.trusting(byDefault())
	for name, change := range map[string]func(*x509.Certificate){
		"the subject": func(c *x509.Certificate) { c.URIs, c.EmailAddresses = nil, []string{"ci\x1b[2K\r@example"} },
		"the issuer": func(c *x509.Certificate) {
			c.ExtraExtensions[0].Value = mustDER(t, "https://token.ci.example\x1b[8m")
		},
		"a claim": func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 9}, Value: mustDER(t, "https://ci.example/\u202egpj.exe")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, f := range forms() {
				wantRefused(t, trusted, in.of(f, in.leaf(workflow, change)).item(t), policy.Invalid, "control characters")
			}
		})
	}
}

func mustDER(tb testing.TB, v any) []byte {
	tb.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}
