package image_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/image"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// token looks like one of GitHub's; it was never valid.
const token = "ghp" + "_Ab3dEf6hIj9lMn2pQr5tUv8xYz1BcD4eF7gH"

// read reads the one image that is put into a store, or the index around it.
func read(t *testing.T, s store, d object) policy.Image {
	t.Helper()
	got, err := image.New(s).ReadImage(t.Context(), policy.Subject{Repository: "a", Digest: d["digest"].(string)}) //nolint:forcetypeassert,errcheck // put makes it
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func leaky(config, manifest object) {
	config["config"] = object{
		"Env": []string{"PATH=/bin", "DB_PASSWORD=hunter2-hunter2", "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D"},
		"Cmd": []string{"--token", token}, "Entrypoint": []string{"/app", "--url=https://a:b@c"}, "Labels": object{"build": token, "team": "a"},
	}
	config["history"] = []object{
		{"created": "2026-11-01T00:00:00Z", "created_by": "RUN |1 NPM_TOKEN=" + token + " /bin/sh -c npm ci # buildkit", "comment": "buildkit.dockerfile.v0"},
		{"created_by": "RUN /bin/sh -c login hunter2-hunter2", "empty_layer": true},
	}
	manifest["annotations"] = object{"source": "https://x:" + token + "@git.example/a"}
}

func TestSecretsAreFoundAndMasked(t *testing.T) {
	t.Parallel()
	s := store{}
	for name, d := range map[string]object{"an image": s.image(t, "linux", "amd64", leaky), "an index": s.index(t, on(s.image(t, "linux", "amd64", leaky), "linux", "amd64"))} {
		got := read(t, s, d)
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"hunter2", token, token[4:], "a:b@"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s: %s is recorded: %s", name, secret, text)
			}
		}
		want := &policy.SecretSearch{Found: []policy.Secret{
			{Where: "annotation source", Kind: "github-token"},
			{Where: "annotation source", Kind: "url-credentials"},
			{Where: "cmd[1]", Kind: "github-token"},
			{Where: "entrypoint[1]", Kind: "url-credentials"},
			{Where: "env DB_PASSWORD", Kind: "password"},
			{Where: "history[0]", Kind: "github-token"},
			{Where: "label build", Kind: "github-token"},
		}}
		if diff := cmp.Diff(want, got.Platforms[0].Secrets); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		h := got.Platforms[0].History
		if len(h) != 2 || h[0].Created == nil || h[0].Comment != "buildkit.dockerfile.v0" || !h[1].EmptyLayer || h[1].CreatedBy != "RUN /bin/sh -c login <masked>" {
			t.Errorf("%s: the history is %+v", name, h)
		}
		if env := got.Platforms[0].Config.Env; env[0] != "PATH=/bin" || !strings.HasSuffix(env[2], "4696D") {
			t.Errorf("%s: the environment is %q", name, env)
		}
	}
}

func TestAnImageWithoutSecretsWasLookedAt(t *testing.T) {
	t.Parallel()
	s := store{}
	got := read(t, s, s.image(t, "linux", "amd64", nil)).Platforms[0]
	if got.Secrets == nil || got.Secrets.Found == nil || len(got.Secrets.Found) > 0 || got.Secrets.Incomplete != "" {
		t.Errorf("%+v", got.Secrets)
	}
}

func TestAnnotationsOfAnIndexAreSearched(t *testing.T) {
	t.Parallel()
	s := store{}
	child := on(s.image(t, "linux", "amd64", nil), "linux", "amd64")
	got := read(t, s, s.put(t, indexType, object{"schemaVersion": 2, "mediaType": indexType, "manifests": []object{child}, "annotations": object{"x": token}}))
	want := []policy.Secret{{Where: "annotation of the index x", Kind: "github-token"}}
	if diff := cmp.Diff(want, got.Platforms[0].Secrets.Found); diff != "" {
		t.Error(diff)
	}
	if got.Annotations["x"] != "ghp_<masked>" {
		t.Errorf("%q", got.Annotations)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	s := store{}
	long := strings.Repeat("x", 5000)
	got := read(t, s, s.image(t, "linux", "amd64", func(config, _ object) {
		var all []object
		for i := range 501 {
			all = append(all, object{"created_by": fmt.Sprint("RUN ", i), "empty_layer": true})
		}
		all[500] = object{"created_by": "RUN " + long + " TOKEN=" + token}
		config["history"] = all
	})).Platforms[0]
	if len(got.History) != 500 || got.HistoryOmitted != 1 || got.History[0].CreatedBy != "RUN 1" {
		t.Errorf("%d entries, %d omitted", len(got.History), got.HistoryOmitted)
	}
	if last := got.History[499].CreatedBy; len(last) > 4200 || !strings.HasSuffix(last, "bytes more)") {
		t.Errorf("the last entry ends with %q", last[len(last)-40:])
	}
	// What is cut was looked at, and so was what is omitted.
	if want := []policy.Secret{{Where: "history[500]", Kind: "github-token"}}; !cmp.Equal(want, got.Secrets.Found) {
		t.Errorf("%+v", got.Secrets)
	}
}

// What is too much to look at is said, and its history is not recorded unseen.
func TestTooMuchToSearch(t *testing.T) {
	t.Parallel()
	s := store{}
	got := read(t, s, s.image(t, "linux", "amd64", func(config, _ object) {
		config["history"] = []object{{"created_by": strings.Repeat("x", 600<<10) + token}, {"created_by": "RUN " + token}}
	})).Platforms[0]
	if got.Secrets.Incomplete == "" || got.History[0].CreatedBy != "(not looked at)" || got.History[1].CreatedBy != "RUN ghp_<masked>" {
		t.Errorf("%+v %+v", got.Secrets, got.History)
	}
}

func TestManySecretsAreBounded(t *testing.T) {
	t.Parallel()
	s := store{}
	got := read(t, s, s.image(t, "linux", "amd64", func(config, _ object) {
		var env []string
		for i := range 150 {
			env = append(env, fmt.Sprintf("A%03d_PASSWORD=%s%d", i, strings.Repeat("y", 300), i), strings.Repeat("n", 300)+fmt.Sprint(i)+"_PASSWORD=z")
		}
		config["config"] = object{"Env": env}
	})).Platforms[0]
	if len(got.Secrets.Found) != 100 || got.Secrets.Omitted < 50 {
		t.Errorf("%d found, %d omitted", len(got.Secrets.Found), got.Secrets.Omitted)
	}
	for _, e := range got.Config.Env {
		if !strings.HasSuffix(e, "=<masked>") {
			t.Fatalf("%q", e)
		}
	}
}
