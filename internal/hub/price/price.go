package price

import (
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
)

// What a body may become, looked for before it is decoded: two bytes of it can be an element of a list that takes a kilobyte
// in memory, or a number of which the digits alone fill it. What exceeds these could not be stored either: every field has an
// owner, whose note of it takes some bytes of the 1.5 MB that an object may have.
const (
	maxFields  = 200_000  // keys of objects and elements of lists, with all below them
	maxDecoded = 32 << 20 // bytes of the decoded object
	priceFrom  = 8 << 10  // smaller bodies are not looked at, but for quantities
)

// A quantity may have so many characters, and be of so many powers of ten, as a float may.
const (
	longestQuantity = 128
	highestExponent = 308
)

// price adds up what a body would cost to decode: the number of its fields and elements, and the bytes they would take as
// Go values. err is the first reason to refuse it.
type price struct {
	fields  int
	decoded int64
	err     error
}

// elements counts elements of a list or entries of a map, each of so many bytes once decoded. Lists grow by doubling.
func (p *price) element(size uintptr) {
	p.fields++
	p.decoded += 2 * int64(size)
	p.check()
}

func (p *price) check() {
	switch {
	case p.err != nil:
	case p.fields > maxFields:
		p.err = apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d fields and elements", maxFields))
	case p.decoded > maxDecoded:
		p.err = apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d bytes when decoded", maxDecoded))
	}
}

// quantity checks one before it is parsed: the time that takes grows with its exponent, which ten characters can make 10^9.
// The errors are those of the parser for what it takes for no number, and no suffix.
func (p *price) quantity(text string) {
	if p.err != nil {
		return
	}
	if len(text) > longestQuantity {
		p.err = resource.ErrNumeric
		return
	}
	if at := strings.IndexAny(text, "eE"); at >= 0 && at+1 < len(text) {
		if n, err := strconv.Atoi(strings.TrimSpace(text[at+1:])); err == nil && (n > highestExponent || n < -highestExponent) || err != nil && allDigits(text[at+1:]) {
			p.err = resource.ErrSuffix
		}
	}
}

func allDigits(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// suspect reports whether a body has in it what a quantity that costs much to parse has, and little else does: a number with
// an exponent of three digits, or of very many digits.
func suspect(data []byte) bool {
	digits := 0
	for i, c := range data {
		switch {
		case c >= '0' && c <= '9' || c == '.':
			if digits++; digits > longestQuantity {
				return true
			}
			continue
		case digits > 0 && (c == 'e' || c == 'E') && hugeExponent(data[i+1:]):
			return true
		}
		digits = 0
	}
	return false
}

func hugeExponent(rest []byte) bool {
	if len(rest) > 0 && (rest[0] == '+' || rest[0] == '-') {
		rest = rest[1:]
	}
	return len(rest) >= 3 && allDigits(string(rest[:3]))
}

// JSON refuses a document that would cost too much to decode into a value like into, which may be nil for one that is decoded
// into maps and slices. What cannot be read is left to the decoder.
func JSON(data []byte, into any) error {
	if len(data) < priceFrom && !suspect(data) {
		return nil
	}
	return inJSON(data, into)
}

func inJSON(data []byte, into any) error {
	p := &price{}
	s := scan{price: p, data: data}
	s.value(typeOf(into), 0)
	return p.err
}

// Value is JSON for what has been decoded into maps and slices.
func Value(v map[string]any, into any) error {
	p := &price{}
	p.value(v, typeOf(into))
	return p.err
}

func (p *price) value(v any, t reflect.Type) {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if p.err != nil || t == nil {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		if t.Kind() == reflect.Struct {
			m := membersOf(t)
			for key, inner := range v {
				p.value(inner, m.named[key])
			}
		} else if t.Kind() == reflect.Map {
			for _, inner := range v {
				p.value(inner, t.Elem())
			}
		}
	case []any:
		for _, inner := range v {
			if t.Kind() == reflect.Slice {
				p.element(t.Elem().Size())
				p.value(inner, t.Elem())
			}
		}
	case string:
		if t == quantityType {
			p.quantity(v)
		}
	case float64:
		if t == quantityType {
			p.quantity(strconv.FormatFloat(v, 'g', -1, 64))
		}
	}
}

func typeOf(into any) reflect.Type {
	if into == nil {
		return nil
	}
	return reflect.TypeOf(into)
}

var quantityType = reflect.TypeFor[resource.Quantity]()

// members are the fields of a struct by their JSON names, and by their numbers in protobuf.
type members struct {
	named    map[string]reflect.Type
	merged   map[string]bool // lists that a strategic merge patch merges
	numbered map[int]reflect.Type
}

var known sync.Map // reflect.Type -> *members

func membersOf(t reflect.Type) *members {
	if m, ok := known.Load(t); ok {
		return m.(*members)
	}
	m := &members{named: map[string]reflect.Type{}, merged: map[string]bool{}, numbered: map[int]reflect.Type{}}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && (name == "" || strings.Contains(options, "inline")) && f.Type.Kind() == reflect.Struct {
			inner := membersOf(f.Type)
			maps.Copy(m.named, inner.named)
			maps.Copy(m.merged, inner.merged)
		} else if name != "" {
			m.named[name] = f.Type
			m.merged[name] = strings.Contains(f.Tag.Get("patchStrategy"), "merge")
		}
		if parts := strings.Split(f.Tag.Get("protobuf"), ","); len(parts) > 1 && parts[0] == "bytes" {
			if n, err := strconv.Atoi(parts[1]); err == nil {
				m.numbered[n] = f.Type
			}
		}
	}
	known.Store(t, m)
	return m
}

// Field is a field of a struct of the API.
type Field struct {
	Type   reflect.Type
	Merges bool // a list that a strategic merge patch merges
}

// Member is the field of a struct type by its JSON name.
func Member(t reflect.Type, name string) (Field, bool) {
	m := membersOf(t)
	inner, ok := m.named[name]
	return Field{inner, m.merged[name]}, ok
}
