package cache

import (
	"encoding/json"
	"math"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JSON surgery on stored objects: enough of the grammar to put a resourceVersion into an object's metadata, and to take it out
// again, without decoding the object. What is not understood is left to the decoder.

// inserted is where an object's JSON has the resourceVersion that insert put in; the zero value is JSON without one.
type inserted struct{ from, to uint32 }

// insert puts a resourceVersion into the JSON of an object that has none, before the first field of the metadata that comes after
// it in the alphabet, where encoding a map would put it.
func insert(stored []byte, rv string) ([]byte, inserted, bool) {
	meta, ok := fieldIn(stored, 0, "metadata")
	if !ok || stored[meta.value] != '{' || len(stored) > math.MaxInt32 {
		return nil, inserted{}, false
	}
	at, first, there := meta.value+1, true, false
	ok = fieldsIn(stored, meta.value, func(name string, m span) bool {
		there = there || name == "resourceVersion"
		if name >= "resourceVersion" {
			at = m.start
			return false
		}
		at, first = m.end, false
		return true
	})
	if !ok || there {
		return nil, inserted{}, false
	}
	field := `"resourceVersion":"` + rv + `"`
	switch {
	case stored[at] == '"':
		field += ","
	case !first:
		field = "," + field
	}
	out := make([]byte, 0, len(stored)+len(field))
	out = append(append(append(out, stored[:at]...), field...), stored[at:]...)
	return out, inserted{uint32(at), uint32(at + len(field))}, true
}

// without is the JSON that something was inserted into.
func (i inserted) without(data []byte) []byte {
	out := make([]byte, 0, len(data)-int(i.to-i.from))
	return append(append(out, data[:i.from]...), data[i.to:]...)
}

// fieldIn finds a field of the JSON object that begins at b[at]: its span's value begins where the value does.
func fieldIn(b []byte, at int, name string) (found span, ok bool) {
	fieldsIn(b, at, func(n string, m span) bool {
		if n == name {
			found, ok = m, true
		}
		return !ok
	})
	return found, ok
}

// fieldsIn calls fn for each field of the JSON object that begins at b[at], from its name to the end of its value, until it returns
// false. It reports false for what is no such object. Names with an escape are passed over: none that is looked for has one.
func fieldsIn(b []byte, at int, fn func(name string, m span) bool) bool {
	if at = space(b, at); at >= len(b) || b[at] != '{' {
		return false
	}
	at = space(b, at+1)
	for at < len(b) && b[at] == '"' {
		m := span{start: at}
		end := value(b, at)
		if end < 0 {
			return false
		}
		name := string(b[at+1 : end-1])
		if at = space(b, end); at >= len(b) || b[at] != ':' {
			return false
		}
		m.value = space(b, at+1)
		if m.end = value(b, m.value); m.end < 0 {
			return false
		}
		if !strings.Contains(name, `\`) && !fn(name, m) {
			return true
		}
		if at = space(b, m.end); at < len(b) && b[at] == ',' {
			at = space(b, at+1)
		}
	}
	return at < len(b) && b[at] == '}'
}

func space(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\n' || b[at] == '\t' || b[at] == '\r') {
		at++
	}
	return at
}

// value is where the JSON value ends that begins at b[at]; negative when it does not.
func value(b []byte, at int) int {
	depth := 0
	for at < len(b) {
		switch b[at] {
		case '"':
			for at++; at < len(b) && b[at] != '"'; at++ {
				if b[at] == '\\' {
					at++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return at // of what was before it
			}
		case ',':
			if depth == 0 {
				return at
			}
		}
		if at++; depth == 0 && at <= len(b) && (b[at-1] == '"' || b[at-1] == '}' || b[at-1] == ']') {
			return at
		}
	}
	return -1
}

// apiVersionIn reads the apiVersion of an object's JSON; "" when it cannot be found.
func apiVersionIn(b []byte) string {
	m, ok := fieldIn(b, 0, "apiVersion")
	if !ok || m.end-m.value < 2 {
		return ""
	}
	return string(b[m.value+1 : m.end-1])
}

// metadataIn decodes the metadata of an object's JSON alone.
func metadataIn(b []byte) (*metav1.PartialObjectMetadata, bool) {
	m, ok := fieldIn(b, 0, "metadata")
	if !ok {
		return nil, false
	}
	p := &metav1.PartialObjectMetadata{}
	return p, json.Unmarshal(b[m.value:m.end], &p.ObjectMeta) == nil
}
