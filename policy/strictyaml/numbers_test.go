package strictyaml_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// What is a text stays as it is written, also when it looks like a number.
func TestTextsThatLookLikeNumbers(t *testing.T) {
	t.Parallel()
	type values struct {
		Text   string            `yaml:"text"`
		Texts  []string          `yaml:"texts"`
		Map    map[string]string `yaml:"map"`
		Number float64           `yaml:"number"`
		Count  int               `yaml:"count"`
		Any    any               `yaml:"any"`
	}
	var got values
	err := strictyaml.Unmarshal("x.yaml", []byte("text: 3.10\ntexts: [2.0, 1e3, 007, 1_000, 0x10, 12, 1.5, '2.0', .5, 1.10.2]\n"+
		"map: {a: 1.20, b: 10}\nnumber: 0.10\ncount: 12\nany: [1.5, 2]\n"), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := values{
		Text: "3.10", Texts: []string{"2.0", "1e3", "007", "1_000", "0x10", "12", "1.5", "2.0", ".5", "1.10.2"}, Map: map[string]string{"a": "1.20", "b": "10"},
		Number: 0.1, Count: 12, Any: []any{1.5, uint64(2)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := strictyaml.Unmarshal("x.yaml", []byte("count: 0x10\n"), &got); err == nil {
		t.Error("a count in another notation")
	}
}
