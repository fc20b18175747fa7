package strictyaml_test

import (
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

type fruit struct {
	Kind   string          `yaml:"kind"`
	Colour *colour         `yaml:"colour"`
	Parts  []part          `yaml:"parts"`
	Count  int             `yaml:"count"`
	Named  map[string]part `yaml:"named"`
}

type colour struct {
	Name string `yaml:"name"`
}

type part struct {
	Name string   `yaml:"name"`
	Tags []string `yaml:"tags"`
}

func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"unknown key":                 {"kind: a\ncolor: {name: red}\n", `f.yaml:2:1: color: unknown key; write "colour" instead (known here: colour, count, kind, named, parts)`},
		"unknown key in a mapping":    {"colour:\n  naem: red\n", `f.yaml:2:3: naem: unknown key; write "name" instead (known here: name)`},
		"unknown key in a list":       {"parts:\n  - name: x\n  - tag: [a]\n", `f.yaml:3:5: tag: unknown key; write "tags" instead (known here: name, tags)`},
		"unknown key far from any":    {"parts: [{zzzzzzzz: 1}]\n", `f.yaml:1:10: zzzzzzzz: unknown key; known here: name, tags`},
		"key twice":                   {"kind: a\nkind: b\n", "f.yaml:2:1: kind: the key is there twice"},
		"list where text is wanted":   {"kind: [a]\n", "f.yaml:1:7: kind: "},
		"text where number is wanted": {"count: many\n", `f.yaml:1:8: count: "many" does not fit here; write a whole number`},
		"text where list is wanted":   {"parts: x\n", "f.yaml:1:8: parts: "},
		"broken syntax":               {"kind: [a\n", "f.yaml:1:7: "},
		"anchor":                      {"kind: &x a\n", "f.yaml:1:7: anchors and aliases are not read"},
		"two documents":               {"kind: a\n---\nkind: b\n", "f.yaml:1:1: 2 documents"},
		"no document":                 {"# nothing\n", "f.yaml:1:1: 0 documents"},
		"too large":                   {"kind: " + strings.Repeat("a", strictyaml.MaxSize), "f.yaml:1:1: the file has "},
		"not UTF-8":                   {"kind: \xff\n", "f.yaml:1:1: the file is not UTF-8"},
		"deep nesting":                {"kind: " + strings.Repeat("[", 500) + strings.Repeat("]", 500), "f.yaml:1:"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := strictyaml.Unmarshal("f.yaml", []byte(tt.in), &fruit{})
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s…", err, tt.want)
			}
		})
	}
}

func TestErrorsPointAtPaths(t *testing.T) {
	docs, err := strictyaml.Parse("f.yaml", []byte("kind: a\nparts:\n  - name: x\n    tags: [a, b]\n"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"$.kind":             "f.yaml:1:7: kind: wrong",
		"$.parts[0].tags[1]": "f.yaml:4:15: parts[0].tags[1]: wrong",
		"$.parts[0].absent":  "f.yaml:3:5: parts[0].absent: wrong",
		"$.absent":           "f.yaml:1:1: absent: wrong",
	}
	for path, want := range tests {
		if got := docs[0].Errorf(path, "wrong").Error(); got != want {
			t.Errorf("Errorf(%s) = %s, want %s", path, got, want)
		}
	}
}

func TestAGoodFileIsRead(t *testing.T) {
	var f fruit
	if err := strictyaml.Unmarshal("f.yaml", []byte("# apple\nkind: apple\nparts: [{name: core}]\n"), &f); err != nil {
		t.Fatal(err)
	}
	if f.Kind != "apple" || f.Parts[0].Name != "core" {
		t.Errorf("got %+v", f)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte("kind: a\nparts:\n  - name: x\n"))
	f.Add([]byte("a: &x [*x]\n"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = strictyaml.Unmarshal("f.yaml", data, &fruit{})
	})
}
