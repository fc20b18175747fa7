package e2e_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// hostile is a registry that serves what nobody should read to the end.
type hostile struct {
	*httptest.Server

	objects map[string][]byte // by path; manifests as such
	types   map[string]string
	endless map[string]bool
	drips   map[string]bool
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{objects: map[string][]byte{}, types: map[string]string{}, endless: map[string]bool{}, drips: map[string]bool{}}
	h.Server = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(h.Close)
	return h
}

func (h *hostile) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("Content-Type", h.types[r.URL.Path])
	switch body, ok := h.objects[r.URL.Path]; {
	case r.URL.Path == "/v2/":
	case h.endless[r.URL.Path]:
		for chunk := bytes.Repeat([]byte(" "), 1<<16); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	case h.drips[r.URL.Path]:
		for {
			if _, err := w.Write([]byte(" ")); err != nil {
				return
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	case ok:
		_, _ = w.Write(body) // the client may well have had enough
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}`))
	}
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func (h *hostile) put(repository, kind string, data []byte, mediaType string) map[string]any {
	path := "/v2/" + repository + "/" + kind + "/" + digestOf(data)
	h.objects[path], h.types[path] = data, mediaType
	return map[string]any{"mediaType": mediaType, "digest": digestOf(data), "size": len(data)}
}

// image puts a small image to which nothing refers yet.
func (h *hostile) image(t *testing.T, repository string) map[string]any {
	t.Helper()
	config := h.put(repository, "blobs", []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`), "application/vnd.oci.image.config.v1+json")
	image := h.put(repository, "manifests", marshal(t, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []any{}, "annotations": map[string]string{"of": repository},
	}), manifestType)
	h.list(t, repository, image, []any{})
	return image
}

// refer makes a manifest with one bundle refer to the image.
func (h *hostile) refer(t *testing.T, repository string, image, layer map[string]any) {
	t.Helper()
	manifest := h.put(repository, "manifests", marshal(t, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "subject": image, "layers": []any{layer},
		"config": map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": digestOf([]byte("{}")), "size": 2},
	}), manifestType)
	h.list(t, repository, image, []any{manifest})
}

func (h *hostile) list(t *testing.T, repository string, image map[string]any, entries []any) {
	t.Helper()
	path := "/v2/" + repository + "/referrers/" + image["digest"].(string) //nolint:errcheck,forcetypeassert // it is one
	h.objects[path] = marshal(t, map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries})
	h.types[path] = "application/vnd.oci.image.index.v1+json"
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// What a registry serves costs bounded memory and time, and the finding says
// which limit it met.
func TestHostileEvidenceCostsLittle(t *testing.T) {
	h := newHostile(t)
	s := harness.NewServiceFor(t, strings.TrimPrefix(h.URL, "http://"), "127.0.0.1:1", strings.Replace(signedPolicy, "team-*/**", "**", 1))
	cases := map[string]struct {
		prepare func(repository string, image map[string]any)
		says    string
	}{
		"nothing": {func(string, map[string]any) {}, "no signature yet"},
		"a bundle that inflates a thousandfold": {func(repository string, image map[string]any) {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			for zeros := make([]byte, 1<<20); b.Len() < 512<<10; {
				if _, err := z.Write(zeros); err != nil {
					t.Fatal(err)
				}
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			h.refer(t, repository, image, h.put(repository, "blobs", b.Bytes(), bundleType))
		}, "inflates to more than 16 MiB"},
		"a hundred thousand referrers": {func(repository string, image map[string]any) {
			entries := make([]any, 100_000)
			for i := range entries {
				entries[i] = map[string]any{"mediaType": manifestType, "digest": fmt.Sprintf("sha256:%064x", i), "size": 1}
			}
			h.list(t, repository, image, entries)
		}, "4194304 bytes"},
		"an endless blob": {func(repository string, image map[string]any) {
			layer := map[string]any{"mediaType": bundleType, "digest": digestOf([]byte(repository)), "size": 8 << 20}
			h.endless["/v2/"+repository+"/blobs/"+digestOf([]byte(repository))] = true
			h.refer(t, repository, image, layer)
		}, "is longer than its 8388608 bytes"},
		"a slow drip": {func(repository string, image map[string]any) {
			layer := map[string]any{"mediaType": bundleType, "digest": digestOf([]byte(repository)), "size": 8 << 20}
			h.drips["/v2/"+repository+"/blobs/"+digestOf([]byte(repository))] = true
			h.refer(t, repository, image, layer)
		}, "the body came more slowly than 16 KiB"},
		"an endless manifest": {func(repository string, image map[string]any) {
			h.endless["/v2/"+repository+"/manifests/"+strings.Replace(image["digest"].(string), ":", "-", 1)+".sig"] = true //nolint:errcheck,forcetypeassert // it is one
		}, "4194304 bytes"},
		"a blob of ten gibibytes": {func(repository string, image map[string]any) {
			h.refer(t, repository, image, map[string]any{"mediaType": bundleType, "digest": digestOf([]byte("huge")), "size": 10 << 30})
		}, "it has 10737418240 bytes; at most 16777216 are read"},
	}
	images := map[string]string{}
	for name, tt := range cases {
		repository := strings.ReplaceAll(name, " ", "-")
		image := h.image(t, repository)
		tt.prepare(repository, image)
		images[name] = s.Staging + "/" + repository + ":v1@" + image["digest"].(string) //nolint:errcheck,forcetypeassert // it is one
	}
	s.Judge(t, images["nothing"]) // starts what is needed
	for name, tt := range cases {
		idle := tree(t, s.Process.Cmd.Process.Pid)
		peak := watch(t, s.Process.Cmd.Process.Pid, func() {
			started := time.Now()
			answer := s.Judge(t, images[name])
			t.Logf("%s: %s", name, time.Since(started).Round(time.Millisecond))
			if !strings.Contains(answer, tt.says) || strings.Contains(answer, `"verdict":"promoted"`) {
				t.Errorf("%s: no finding says %q:\n%s", name, tt.says, answer)
			}
		})
		t.Logf("%s: %d MiB above idle", name, (peak-idle)>>20)
		if peak-idle > 64<<20 {
			t.Errorf("%s: %d MiB above idle", name, (peak-idle)>>20)
		}
	}
}

// watch samples the memory of a process and its children while something
// happens, and returns the most that it saw.
func watch(t *testing.T, pid int, during func()) int64 {
	t.Helper()
	done, most := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		peak := int64(0)
		for {
			select {
			case <-done:
				most <- peak
				return
			case <-tick.C:
				peak = max(peak, tree(t, pid))
			}
		}
	}()
	during()
	close(done)
	return <-most
}

// tree is the memory of a process and its children that belongs to them alone,
// in bytes (proc(5), RssAnon).
func tree(t *testing.T, pid int) int64 {
	t.Helper()
	total := int64(0)
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range children {
		list, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for child := range strings.FieldsSeq(string(list)) {
			if id, err := strconv.Atoi(child); err == nil {
				total += tree(t, id)
			}
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return total // the process has ended
	}
	if m := regexp.MustCompile(`RssAnon:\s+(\d+) kB`).FindSubmatch(status); m != nil {
		if kib, err := strconv.ParseInt(string(m[1]), 10, 64); err == nil {
			total += kib << 10
		}
	}
	return total
}
