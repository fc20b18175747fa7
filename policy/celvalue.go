package policy

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// celValue turns evidence into what CEL works on, under its JSON names: what
// encoding/json makes of it and reads back, without the text in between, which
// for the packages of an image takes longer than everything else.
func celValue(v any) (any, error) {
	return convert(reflect.ValueOf(v))
}

// knownFields are those of the types of evidence, by type: they never change.
var knownFields sync.Map //nolint:gochecknoglobals // as encoding/json has it

// fieldsOf lists the fields of a struct.
func fieldsOf(t reflect.Type) []jsonField {
	if known, ok := knownFields.Load(t); ok {
		fields, _ := known.([]jsonField)
		return fields
	}
	fields := jsonFields(t)
	knownFields.Store(t, fields)
	return fields
}

// jsonField is a field of a struct as encoding/json has it.
type jsonField struct {
	name      string
	index     []int
	form      form
	omitEmpty bool
	omitZero  bool
}

// form is how values of a type are written.
type form int

const (
	formPlain     form = iota // by their kind
	formRaw                   // they are JSON
	formTime                  // a text
	formMarshaled             // they write themselves
)

func formOf(t reflect.Type) form {
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return formRaw
	case t == reflect.TypeFor[time.Time]():
		return formTime
	case t.Implements(reflect.TypeFor[json.Marshaler]()), t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return formMarshaled
	}
	return formPlain
}

func convert(v reflect.Value) (any, error) {
	if !v.IsValid() {
		return nil, nil //nolint:nilnil // it is what JSON calls null
	}
	return convertIn(formOf(v.Type()), v)
}

// convertIn is convert for who knows the form already: there are many of one type.
func convertIn(f form, v reflect.Value) (any, error) {
	switch {
	case f == formPlain && v.Kind() == reflect.String: // as most are
		return strings.ToValidUTF8(v.String(), "\uFFFD"), nil
	case f == formRaw:
		return raw(v.Bytes())
	case f == formTime:
		when, _ := reflect.TypeAssert[time.Time](v)
		return when.Format(time.RFC3339Nano), nil
	case f == formMarshaled:
		text, err := json.Marshal(v.Interface())
		if err != nil {
			return nil, err
		}
		return raw(text)
	case v.CanInt():
		return float64(v.Int()), nil
	case v.CanUint():
		return float64(v.Uint()), nil
	case v.CanFloat():
		return v.Float(), nil
	}
	switch v.Kind() { //nolint:exhaustive // the rest is no evidence
	case reflect.Pointer, reflect.Interface:
		return convert(v.Elem())
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Slice:
		return convertList(v)
	case reflect.Map:
		return convertObject(v)
	case reflect.Struct:
		return convertStruct(v)
	default:
		return nil, fmt.Errorf("a %s is no evidence", v.Kind())
	}
}

// raw reads what is kept as JSON already.
func raw(text []byte) (out any, err error) {
	if len(text) == 0 {
		return nil, nil //nolint:nilnil // it is what JSON calls null
	}
	err = json.Unmarshal(text, &out)
	return out, err
}

func convertList(v reflect.Value) (any, error) {
	if v.IsNil() {
		return nil, nil //nolint:nilnil // it is what JSON calls null
	}
	list := make([]any, v.Len())
	elements := formOf(v.Type().Elem())
	for i := range list {
		var err error
		if list[i], err = convertIn(elements, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func convertObject(v reflect.Value) (any, error) {
	if v.IsNil() {
		return nil, nil //nolint:nilnil // it is what JSON calls null
	}
	object := make(map[string]any, v.Len())
	for entries := v.MapRange(); entries.Next(); {
		value, err := convert(entries.Value())
		if err != nil {
			return nil, err
		}
		object[strings.ToValidUTF8(entries.Key().String(), "\uFFFD")] = value
	}
	return object, nil
}

func convertStruct(v reflect.Value) (any, error) {
	fields := fieldsOf(v.Type())
	object := make(map[string]any, len(fields))
	for _, f := range fields {
		field := v.Field(f.index[0])
		if len(f.index) > 1 {
			field = v.FieldByIndex(f.index)
		}
		if f.omitEmpty && empty(field) || f.omitZero && field.IsZero() {
			continue
		}
		value, err := convertIn(f.form, field)
		if err != nil {
			return nil, err
		}
		object[f.name] = value
	}
	return object, nil
}

// empty says what encoding/json takes for empty.
func empty(v reflect.Value) bool {
	kind := v.Kind()
	if kind == reflect.Slice || kind == reflect.Map || kind == reflect.String {
		return v.Len() == 0
	}
	return kind != reflect.Struct && v.IsZero()
}

// jsonFields lists the fields of a struct that encoding/json writes: of those of
// one name, the least deeply embedded.
func jsonFields(t reflect.Type) []jsonField {
	var fields []jsonField
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "-" {
			continue
		}
		fields = append(fields, jsonField{
			name: cmp.Or(name, f.Name), index: f.Index, form: formOf(f.Type),
			omitEmpty: strings.Contains(options, "omitempty"), omitZero: strings.Contains(options, "omitzero"),
		})
	}
	slices.SortStableFunc(fields, func(a, b jsonField) int { return cmp.Compare(len(a.index), len(b.index)) })
	seen := map[string]bool{}
	return slices.DeleteFunc(fields, func(f jsonField) bool {
		again := seen[f.name]
		seen[f.name] = true
		return again
	})
}
