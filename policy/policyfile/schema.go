package policyfile

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// documents are what can be in a file of policies.
type documents struct {
	Policy        policy.Policy        `yaml:"policy"`
	ExceptionList policy.ExceptionList `yaml:"exceptionList"`
	VersionList   policy.VersionList   `yaml:"versionList"`
}

// Schema is the JSON Schema (2020-12) of a policy and of the lists that policies
// name, for editors. What it takes is not sound for that: gatekeeper policy lint
// finds what it cannot.
func Schema() ([]byte, error) {
	keys := described()
	r := &jsonschema.Reflector{
		ExpandedStruct: true, FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, Mapper: scalar,
		LookupComment: func(t reflect.Type, field string) string { return keys[t.Name()+"."+field].text },
	}
	all := r.Reflect(&documents{})
	for name, definition := range all.Definitions {
		complete(name, definition, keys)
	}
	s := byKind("Policy", policy.KindExceptionList, policy.KindVersionList)
	s.Version, s.Title, s.Definitions = all.Version, "Promotion policies of Gatekeeper and their lists", all.Definitions
	// A component may be its package URL alone.
	s.Definitions["Component"] = &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string", Pattern: "^pkg:"}, s.Definitions["Component"]}}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return append(text, '\n'), nil
}

// byKind is the schema of a document of one of several kinds, by the names of their
// definitions; of the first, when it is none of the others.
func byKind(first string, others ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{Ref: "#/$defs/" + first}
	for _, kind := range others {
		is := jsonschema.NewProperties()
		is.Set("kind", &jsonschema.Schema{Const: kind})
		s = &jsonschema.Schema{If: &jsonschema.Schema{Properties: is, Required: []string{"kind"}}, Then: &jsonschema.Schema{Ref: "#/$defs/" + kind}, Else: s}
	}
	return s
}

// complete says which keys of a mapping have to be there, and what the values
// can be of those that have few.
func complete(name string, s *jsonschema.Schema, keys map[string]key) {
	t, ok := schemaTypes()[name]
	if !ok || s.Properties == nil {
		return
	}
	for f := range t.Fields() {
		k := keys[name+"."+f.Name]
		property, ok := s.Properties.Get(yamlName(f))
		if !ok {
			continue
		}
		for _, value := range k.values {
			property.Enum = append(property.Enum, value)
		}
		if k.required {
			s.Required = append(s.Required, yamlName(f))
		}
	}
}

// scalar is the schema of values that are written as texts.
func scalar(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[policy.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(y|w|d|h|ms|m|s))+$|^0$`, Examples: []any{"10m", "48h", "30d"}}
	case reflect.TypeFor[policy.Date](), reflect.TypeFor[policy.Start]():
		return &jsonschema.Schema{Type: "string", Examples: []any{"2026-12-31"}}
	case reflect.TypeFor[policy.Threshold]():
		return &jsonschema.Schema{Type: "string", Pattern: `^(>|>=|=|!=|<=|<) +[0-9]+$`, Examples: []any{">= 10"}}
	case reflect.TypeFor[policy.OneOrMore]():
		text := &jsonschema.Schema{Type: "string"}
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, {Type: "array", Items: text}}}
	}
	return nil
}

// schemaTypes are the types of mappings in documents, by their names.
func schemaTypes() map[string]reflect.Type {
	all := map[string]reflect.Type{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() { //nolint:exhaustive // the rest has no fields
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(t.Elem())
		case reflect.Struct:
			if all[t.Name()] != nil || scalar(t) != nil {
				return
			}
			all[t.Name()] = t
			for f := range t.Fields() {
				walk(f.Type)
			}
		default:
		}
	}
	walk(reflect.TypeFor[documents]())
	return all
}

func yamlName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}
