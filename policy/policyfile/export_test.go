package policyfile

import "strings"

// DescribedKey is a key that the schema describes.
type DescribedKey struct {
	Key   string
	Known bool // there is such a field
}

// DescribedKeys lists what the schema describes.
func DescribedKeys() []DescribedKey {
	var all []DescribedKey
	types := schemaTypes()
	for name := range described() {
		typeName, field, _ := strings.Cut(name, ".")
		known := types[typeName] != nil
		if known {
			_, known = types[typeName].FieldByName(field)
		}
		all = append(all, DescribedKey{name, known})
	}
	return all
}
