package policy

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// variableTypes are the variables of expressions with their types, so that a
// name that the evidence does not have is found when the policy is read. What
// an attestation says is of no type that is known here.
func variableTypes() map[string]reflect.Type {
	return map[string]reflect.Type{
		"subject": reflect.TypeFor[Subject](), "push": reflect.TypeFor[Push](), "image": reflect.TypeFor[shownPlatform](),
		"signatures": reflect.TypeFor[[]shownSignature](), "attestations": reflect.TypeFor[[]shownAttestation](),
		"catalogue": reflect.TypeFor[Catalogue](), "os": reflect.TypeFor[OperatingSystem](),
		"packages": reflect.TypeFor[[]Package](), "vulnerabilities": reflect.TypeFor[[]Vulnerability](),
		"predicate": reflect.TypeFor[json.RawMessage](),
	}
}

// shownPlatform is a platform as expressions see it: what was found in it are
// variables of their own, what it is built on is for patchLevel.base, and what
// is attested about it alone for those sections that read it.
type shownPlatform struct {
	Platform

	Scan         struct{} `json:"-"`
	Lineage      struct{} `json:"-"`
	Attestations struct{} `json:"-"`
}

// evidenceTypes tells CEL's checker what the evidence is made of. At run time
// it is maps and lists, as encoding/json makes them, in which a field can be
// absent whatever its type.
type evidenceTypes struct {
	*types.Registry

	fields map[string]map[string]*types.FieldType // by the names of types and fields
}

func newEvidenceTypes() (*evidenceTypes, error) {
	registry, err := types.NewRegistry(types.OptionalType)
	return &evidenceTypes{Registry: registry, fields: map[string]map[string]*types.FieldType{}}, err
}

// variable declares a variable.
func (t *evidenceTypes) variable(name string) cel.EnvOption {
	if name == "now" {
		return cel.Variable(name, cel.TimestampType)
	}
	return cel.Variable(name, t.of(variableTypes()[name]))
}

// of is CEL's type for what encoding/json makes of a Go type. Numbers are of any
// type: they arrive as doubles, and are compared with integers.
func (t *evidenceTypes) of(goType reflect.Type) *types.Type {
	switch {
	case goType.Kind() == reflect.Pointer:
		return t.of(goType.Elem())
	case goType == reflect.TypeFor[time.Time](), goType.Kind() == reflect.String:
		return types.StringType
	case goType == reflect.TypeFor[json.RawMessage]():
		return types.DynType
	case goType.Kind() == reflect.Bool:
		return types.BoolType
	case goType.Kind() == reflect.Slice:
		return types.NewListType(t.of(goType.Elem()))
	case goType.Kind() == reflect.Map:
		return types.NewMapType(types.StringType, t.of(goType.Elem()))
	case goType.Kind() == reflect.Struct:
		return t.object(goType)
	}
	return types.DynType
}

// object is the type of a struct.
func (t *evidenceTypes) object(goType reflect.Type) *types.Type {
	name := strings.TrimPrefix(goType.Name(), "shown")
	if t.fields[name] == nil {
		t.fields[name] = map[string]*types.FieldType{}
		for _, f := range jsonFields(goType) {
			// Without functions of its own a field is looked for as in any map.
			t.fields[name][f.name] = &types.FieldType{Type: t.of(goType.FieldByIndex(f.index).Type)}
		}
	}
	return types.NewObjectType(name)
}

// FindStructType implements types.Provider.
func (t *evidenceTypes) FindStructType(name string) (*types.Type, bool) {
	if t.fields[name] == nil {
		return t.Registry.FindStructType(name)
	}
	return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
}

// FindStructFieldNames implements types.Provider.
func (t *evidenceTypes) FindStructFieldNames(name string) ([]string, bool) {
	fields, ok := t.fields[name]
	if !ok {
		return t.Registry.FindStructFieldNames(name)
	}
	names := make([]string, 0, len(fields))
	for field := range fields {
		names = append(names, field)
	}
	slices.Sort(names)
	return names, true
}

// FindStructFieldType implements types.Provider.
func (t *evidenceTypes) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	fields, ok := t.fields[name]
	if !ok {
		return t.Registry.FindStructFieldType(name, field)
	}
	f, ok := fields[field]
	return f, ok
}
