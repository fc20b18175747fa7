package strictjson_test

import (
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
)

func TestOnlyUnambiguousDocumentsPass(t *testing.T) {
	tests := map[string]struct {
		in string
		ok bool
	}{
		"an object":                     {`{"a": 1, "b": [{"a": 2}, {"a": 3}]}`, true},
		"a number":                      {`1`, true},
		"a key twice":                   {`{"a": 1, "a": 2}`, false},
		"a key twice, in another case":  {`{"layers": 1, "Layers": 2}`, false},
		"a key twice, escaped":          {`{"a": 1, "\u0061": 2}`, false},
		"a key twice, deeper":           {`[{"x": {"a": 1, "a": 2}}]`, false},
		"labels that differ in case":    {`{"config": {"Labels": {"a": "1", "A": "2"}}}`, true},
		"a label twice":                 {`{"config": {"Labels": {"a": "1", "a": "2"}}}`, false},
		"two values":                    {`{} {}`, false},
		"something behind":              {`{}x`, false},
		"nothing":                       {``, false},
		"cut off":                       {`{"a": [1`, false},
		"closed by the wrong delimiter": {`{"a": 1]`, false},
		"nested too deeply":             {strings.Repeat("[", 100) + strings.Repeat("]", 100), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := strictjson.Check([]byte(tt.in)); (err == nil) != tt.ok {
				t.Errorf("Check(%s) = %v", tt.in, err)
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(`{"a": [1, {"b": null}]}`))
	f.Fuzz(func(_ *testing.T, data []byte) { _ = strictjson.Check(data) })
}
