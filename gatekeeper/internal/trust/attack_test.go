package trust_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/trust"
)

// later lets so much time pass that the repository is asked again.
func (w *world) later() { w.now = w.now.Add(13 * time.Hour) }

// A repository names targets that lead out of the folder they are kept in.
func TestAttack_CVE_2026_24137(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../escaped.json", "../../escaped.json", "/escaped.json", `..\escaped.json`, "a/../../../escaped.json", ".."} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t)
			r.publish(map[string][]byte{name: content(t, 0), target: content(t, 0)})
			above := t.TempDir()
			dir := filepath.Join(above, "one", "two")
			root := r.trust()
			root.TUF.Target = name
			w := newWorld(t, root, dir)
			_, _ = w.get(t.Context()) // refused or not, it stays where it belongs
			want(t, w.again(t, r.trust()), content(t, 0))
			stays(t, above, dir)
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() && d.Name() == "escaped.json" {
					t.Errorf("%s was written", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// Metadata of another shape than the client expects, which ended its process.
func TestAttack_CVE_2026_23991(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.publish(map[string][]byte{target: content(t, 0)})
	good := r.state()
	good["2.root.json"] = r.signed(r.rootOf(2, r.online), r.roots...)
	for _, name := range []string{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"} {
		for _, bad := range malformed(t, good[name]) {
			r.goBack(good)
			r.put(name, bad)
			if got, err := r.world().get(t.Context()); err == nil && len(got) != len(content(t, 0)) {
				t.Errorf("%s: %.200s: %d bytes", name, bad, len(got))
			}
		}
	}
	r.goBack(good)
	want(t, r.world(), content(t, 0))
}

// malformed exchanges each part of a document for values of other kinds.
func malformed(t *testing.T, good []byte) [][]byte {
	t.Helper()
	all := [][]byte{nil, []byte("{"), []byte("\x00"), bytes.Repeat([]byte("["), 20_000), []byte(`{"signed":{"_type":"root"}}`)}
	var doc any
	if err := json.Unmarshal(good, &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(v any, put func(any) any)
	walk = func(v any, put func(any) any) {
		for _, bad := range []any{nil, true, -1, "x", []any{}, []any{nil}, map[string]any{}, map[string]any{"x": nil}} {
			data, err := json.Marshal(put(bad))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, data)
		}
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				walk(inner, func(bad any) any { changed := maps.Clone(v); changed[name] = bad; return put(changed) })
			}
		case []any:
			for i, inner := range v {
				walk(inner, func(bad any) any { changed := slices.Clone(v); changed[i] = bad; return put(changed) })
			}
		}
	}
	walk(doc, func(bad any) any { return bad })
	return all
}

// Metadata with fewer signatures than the root asks for, or with one twice.
func TestAttack_CVE_2026_23992(t *testing.T) {
	t.Parallel()
	t.Run("no signatures asked for", thresholds)
	r := newRepository(t)
	r.publish(map[string][]byte{target: content(t, 0)})
	w := r.world()
	want(t, w, content(t, 0))
	mallory := newKey(t)
	forged := r.rootOf(2, mallory)
	r.publish(map[string][]byte{target: content(t, 1)}, mallory)
	for name, by := range map[string][]key{
		"nobody": {}, "one of two": {r.roots[0]}, "a stranger": {mallory}, "one and a stranger": {r.roots[1], mallory}, "the online key": {r.online, r.roots[0]},
	} {
		r.put("2.root.json", r.signed(forged, by...))
		for _, store := range []*world{r.world(), w.again(t, r.trust())} {
			if _, err := store.get(t.Context()); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
	}
	// One signature, twice.
	once := string(r.signed(forged, r.roots[0]))
	_, entry, _ := strings.Cut(once, `"signatures":[`)
	entry, _, _ = strings.Cut(entry, "]")
	r.put("2.root.json", []byte(strings.Replace(once, entry, entry+","+entry, 1)))
	if _, err := r.world().get(t.Context()); err == nil {
		t.Error("one signature twice: taken")
	}
	r.put("2.root.json", r.signed(forged, r.roots...))
	want(t, w.again(t, r.trust()), content(t, 1)) // signed by both it is no forgery
}

// thresholds has a root for no signatures at all.
func thresholds(t *testing.T) {
	t.Parallel()
	for _, threshold := range []int{0, -1} {
		r := newRepository(t)
		r.root = r.rootOf(1, r.online)
		for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
			r.root.Signed.Roles[role].Threshold = threshold
		}
		r.files["1.root.json"] = r.signed(r.root, r.roots...)
		r.publish(map[string][]byte{target: content(t, 0)}, newKey(t))
		if got, err := r.world().get(t.Context()); err == nil {
			t.Errorf("threshold %d: %d bytes taken from anybody", threshold, len(got))
		}
	}
}

// The name or the address of a repository leads out of the folder that its
// metadata is kept in.
func TestAttack_CVE_2026_24686(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*trust.Root){
		"address":      func(r *trust.Root) { r.TUF.URL += "/../../../.." },
		"name":         func(r *trust.Root) { r.Name = "../../acme" },
		"name, parent": func(r *trust.Root) { r.Name = ".." },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t)
			r.publish(map[string][]byte{target: content(t, 0)})
			above := t.TempDir()
			root := r.trust()
			change(&root)
			w := newWorld(t, root, filepath.Join(above, "one", "two"))
			_, _ = w.TrustRoot(t.Context(), root.Name) // refused or not, it stays where it belongs
			stays(t, above, w.dir)
		})
	}
}

// stays asks that every file above a folder is in it.
func stays(t *testing.T, above, dir string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(above, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		if !strings.HasPrefix(path, dir+string(filepath.Separator)) {
			t.Errorf("%s was written", path)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d files, %v", n, err)
	}
}

// A mirror goes back: to older metadata; to the time before the root revoked
// a key, with which somebody signs anew.
func TestAttack_CVE_2022_29173(t *testing.T) {
	t.Parallel()
	t.Run("older metadata", func(t *testing.T) {
		t.Parallel()
		r := newRepository(t)
		r.publish(map[string][]byte{target: content(t, 0)})
		old := r.state()
		r.publish(map[string][]byte{target: content(t, 1)})
		w := r.world()
		want(t, w, content(t, 1))
		r.goBack(old)
		wantError(t, w.again(t, r.trust()), "version")
		w.later()
		want(t, w, content(t, 1)) // what it has counts for some days
		w.now = w.now.Add(8 * 24 * time.Hour)
		wantError(t, w, "version")
	})
	t.Run("an older root", func(t *testing.T) {
		t.Parallel()
		r := newRepository(t)
		r.publish(map[string][]byte{target: content(t, 0)})
		before, revoked := r.state(), r.online
		r.rotate()
		r.publish(map[string][]byte{target: content(t, 1)})
		w := r.world()
		want(t, w, content(t, 1))
		r.goBack(before)
		r.publish(map[string][]byte{target: content(t, 5)}, revoked)
		r.publish(map[string][]byte{target: content(t, 5)}, revoked)
		if got, err := w.again(t, r.trust()).get(t.Context()); err == nil {
			t.Errorf("%d bytes taken that are signed with a revoked key", len(got))
		}
		w.later()
		want(t, w, content(t, 1))
	})
}
