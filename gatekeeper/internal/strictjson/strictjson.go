// Package strictjson refuses JSON documents that two readers could understand
// differently.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth bounds how deep objects and arrays nest.
const maxDepth = 64

// Check returns an error unless the data is exactly one JSON value, no object
// of which has a key twice. Keys that differ in case alone count as the same,
// because encoding/json takes either for a struct's field; but not among
// labels and annotations, whose keys people choose.
func Check(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := value(dec, 0, false); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// Unmarshal checks the data and decodes it into v.
func Unmarshal(data []byte, v any) error {
	if err := Check(data); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

func value(dec *json.Decoder, depth int, free bool) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	token, err := dec.Token()
	if err != nil {
		return unexpectedEnd(err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		name := ""
		if delim == '{' {
			if name, err = key(dec, seen, free); err != nil {
				return err
			}
		}
		if err := value(dec, depth+1, name == "labels" || name == "annotations"); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the closing delimiter
	return unexpectedEnd(err)
}

// key reads a key and returns it in lower case. With free, keys are taken as
// they are written.
func key(dec *json.Decoder, seen map[string]bool, free bool) (string, error) {
	token, err := dec.Token()
	if err != nil {
		return "", unexpectedEnd(err)
	}
	name, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%v where a key is expected", token)
	}
	folded := strings.ToLower(name)
	identity := folded
	if free {
		identity = name
	}
	if seen[identity] {
		return "", fmt.Errorf("the key %q is there twice", name[:min(len(name), 64)])
	}
	seen[identity] = true
	return folded, nil
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
