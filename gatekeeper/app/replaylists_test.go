package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/app"
)

const platformList = `apiVersion: gatekeeper/v1alpha1
kind: VersionList
metadata: {name: platform}
spec: {packages: [{type: deb, name: package-1, versions: ">= 1.0"}]}
`

// A list that is given counts instead of the one in force, for the policies that
// name it; one in force counts for policies that are given.
func TestReplayOfLists(t *testing.T) {
	t.Parallel()
	config := recorded(t, 20)
	policies := filepath.Join(filepath.Dir(config), "policies")
	file := func(dir, name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	naming := strings.Replace(anybody, "  promote:", "  patchLevel: {versions: {lists: [platform]}}\n  promote:", 1)
	file(policies, "services.yaml", naming)
	file(policies, "lists.yaml", platformList)
	newer := strings.Replace(platformList, ">= 1.0", ">= 2.0", 1)
	base := app.MigrateOptions{Config: config}
	for name, tt := range map[string]struct {
		given []string
		only  bool
		code  int
		want  string
	}{
		"what is in force":            {nil, false, app.StatusOK, "20 decisions replayed with policy services: 0 would be different"},
		"a stricter list":             {[]string{newer}, false, app.StatusRejected, "policy services: 16 would be different"},
		"only that":                   {[]string{newer}, true, app.StatusRejected, "policy services: 16 would be different"},
		"a policy with its list":      {[]string{naming + "---\n" + newer}, true, app.StatusRejected, "policy services: 16 would be different"},
		"in files of their own":       {[]string{naming, newer}, false, app.StatusRejected, "policy services: 16 would be different"},
		"a policy, its list in force": {[]string{naming}, true, app.StatusOK, "policy services: 0 would be different"},
		"a list of nobody":            {[]string{strings.Replace(newer, "name: platform", "name: other", 1)}, false, app.StatusOK, "note: no policy names the VersionList other, so that it changes nothing"},
		"a list twice":                {[]string{newer, platformList}, false, app.StatusUsage, "the VersionList platform is in"},
		"a list with a mistake":       {[]string{strings.Replace(newer, ">= 2.0", "2.0", 1)}, false, app.StatusUsage, "is no comparison"},
		"a list that is nowhere":      {[]string{strings.Replace(naming, "[platform]", "[plat]", 1)}, false, app.StatusUsage, `no VersionList is named "plat"; known here: platform`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := app.ReplayOptions{MigrateOptions: base, Only: tt.only}
			for _, text := range tt.given {
				o.Locations = append(o.Locations, file(t.TempDir(), "given.yaml", text))
			}
			if got, code := replayed(t, o); code != tt.code || !strings.Contains(got, tt.want) {
				t.Errorf("status %d, want %d with %q:\n%s", code, tt.code, tt.want, got)
			}
		})
	}
}
