package policytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// evidence is what a case is about: what nobody has to write, the file's, and
// the case's own.
func evidence(c *policy.Compiled, now time.Time, base, own map[string]any) (*policy.Evidence, error) {
	all := merge(merge(anything(c, now), base), own)
	if err := checkKeys(all, reflect.TypeFor[policy.Evidence]()); err != nil {
		return nil, err
	}
	text, err := json.Marshal(fit(all, reflect.TypeFor[policy.Evidence]()))
	if err != nil {
		return nil, fmt.Errorf("it cannot be written as JSON: %w", err)
	}
	var ev policy.Evidence
	if err := json.Unmarshal(text, &ev); err != nil {
		return nil, fmt.Errorf("it is not understood: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	for i := range ev.Image.Platforms {
		p := &ev.Image.Platforms[i]
		if p.Scan != nil {
			p.Scan.LicensesRead = true // a package without any has none
		}
		if p.Digest != ev.Subject.Digest && p.Attestations == nil {
			p.Attestations = []policy.Attestation{} // there are none
		}
		if err := completeAll(c, "attestation of "+p.Name, p.Attestations); err != nil {
			return nil, err
		}
	}
	for i := range ev.Signatures {
		s := &ev.Signatures[i]
		if err := complete(c, "signature", i, &s.Form, &s.Manifest, &s.Result, s.VerifiedBy, len(s.Identities)); err != nil {
			return nil, err
		}
	}
	if err := completeAll(c, "attestation", ev.Attestations); err != nil {
		return nil, err
	}
	return &ev, nil
}

// completeAll completes attestations.
func completeAll(c *policy.Compiled, what string, attestations []policy.Attestation) error {
	for i := range attestations {
		a := &attestations[i]
		if err := complete(c, what, i, &a.Form, &a.Manifest, &a.Result, a.VerifiedBy, len(a.Identities)); err != nil {
			return err
		}
	}
	return nil
}

// checkKeys refuses keys that evidence does not have. encoding/json would take
// them in any case of letters, and one for another.
func checkKeys(value any, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch value := value.(type) {
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return nil // labels and the like; what is no mapping at all is refused later
		}
		known := map[string]reflect.Type{}
		for field := range t.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			known[name] = field.Type
		}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			inner, ok := known[key]
			if !ok {
				return fmt.Errorf("unknown key %q; known here: %s", key, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			}
			if err := checkKeys(value[key], inner); err != nil {
				return err
			}
		}
	case []any:
		if t.Kind() != reflect.Slice {
			return nil
		}
		for _, one := range value {
			if err := checkKeys(one, t.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

// fit makes texts of numbers where the evidence has texts, and the other way
// round: YAML tells them apart by how they look, as in a version 12.1.
func fit(value any, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := value.(type) {
	case map[string]any:
		fitted := map[string]any{}
		for key, inner := range v {
			fitted[key] = fit(inner, typeOf(t, key))
		}
		return fitted
	case []any:
		fitted := make([]any, len(v))
		for i, inner := range v {
			fitted[i] = inner
			if t.Kind() == reflect.Slice {
				fitted[i] = fit(inner, t.Elem())
			}
		}
		return fitted
	case string:
		if number, err := strconv.ParseFloat(v, 64); err == nil && t.Kind() == reflect.Float64 {
			return number
		}
	case float64, int, int64, uint64:
		if t.Kind() == reflect.String {
			return fmt.Sprint(v)
		}
	}
	return value
}

// typeOf is the type of a key's value.
func typeOf(t reflect.Type, key string) reflect.Type {
	switch {
	case t.Kind() == reflect.Map:
		return t.Elem()
	case t.Kind() == reflect.Struct:
		for field := range t.Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name == key {
				return field.Type
			}
		}
	}
	return reflect.TypeFor[any]() // what an attestation says
}

// anything is the evidence of an image that nothing is said about: one that the
// policy could be asked about, just pushed, for one platform, unsigned.
func anything(c *policy.Compiled, now time.Time) map[string]any {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	return map[string]any{
		"subject": map[string]any{"registry": c.Spec().From, "repository": "team-a/app", "digest": digest("a")},
		"push":    map[string]any{"tag": "v1", "receivedAt": at(now)},
		"image": map[string]any{
			"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1024,
			"platforms": []any{map[string]any{
				"name": "linux/amd64", "digest": digest("a"), "os": "linux", "architecture": "amd64", "created": at(now.Add(-24 * time.Hour)),
				"config": map[string]any{"user": "app"}, "layers": []any{map[string]any{"digest": digest("b"), "size": 1024}},
				"secrets": map[string]any{"found": []any{}},
			}},
		},
		"signatures": []any{}, "attestations": []any{},
	}
}

// digest makes one out of a hexadecimal digit.
func digest(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// merge applies a JSON merge patch (RFC 7396).
func merge(to, patch map[string]any) map[string]any {
	merged := maps.Clone(to)
	if merged == nil {
		merged = map[string]any{}
	}
	for key, value := range patch {
		inner, isMap := value.(map[string]any)
		before, wasMap := merged[key].(map[string]any)
		switch {
		case value == nil:
			delete(merged, key)
		case isMap && wasMap:
			merged[key] = merge(before, inner)
		case isMap:
			merged[key] = merge(nil, inner)
		default:
			merged[key] = value
		}
	}
	return merged
}

// complete fills in what need not be written of a signature or attestation,
// and puts authorities in the place of the names that the policy has for them.
func complete(c *policy.Compiled, what string, i int, form, manifest *string, result *policy.Verification, verifiedBy []string, identities int) error {
	if *form == "" {
		*form = "referrer"
	}
	if *manifest == "" {
		*manifest = fmt.Sprintf("sha256:%064x", i+1)
	}
	if *result == "" {
		*result = policy.UnknownSigner
		if len(verifiedBy) > 0 || identities > 0 {
			*result = policy.Verified
		}
	}
	for j, name := range verifiedBy {
		if strings.HasPrefix(name, "sha256:") {
			continue
		}
		named := slices.DeleteFunc(c.Named(name), func(a policy.Authority) bool { return a.Keyless != nil })
		switch {
		case len(named) == 0 && len(c.Named(name)) > 0:
			return fmt.Errorf("%s %d: %q is an identity: write it under identities, with its trustRoot, issuer and subject, and leave verifiedBy out", what, i, name)
		case len(named) == 0:
			return fmt.Errorf("%s %d: the policy knows nobody called %q; write the name of an authority with one key, or the key as the policy writes it", what, i, name)
		case len(named) > 1:
			return fmt.Errorf("%s %d: %q has %d keys; name the one that signed, as the policy writes it", what, i, name, len(named))
		}
		verifiedBy[j] = named[0].ID
	}
	return nil
}
