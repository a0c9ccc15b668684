package price

import (
	"reflect"
	"strconv"
)

// maxDepth is how deep JSON may be nested; the decoders have the same limit and say so.
const maxDepth = 10_000

// scan goes through JSON. It stops at the first thing that it does not understand, which the decoder will name.
type scan struct {
	*price
	data []byte
	at   int
	bad  bool

	longest int // list so far
}

// LongestList is how many elements the longest list of a JSON document has.
func LongestList(doc []byte) int {
	s := scan{price: &price{}, data: doc}
	s.value(nil, 0)
	return s.longest
}

func (s *scan) stop() bool { return s.bad || s.err != nil || s.at >= len(s.data) }

func (s *scan) space() byte {
	for s.at < len(s.data) {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	s.bad = true
	return 0
}

// value goes over one value, which will be decoded into a t; nil is something that is kept as it is or not at all.
func (s *scan) value(t reflect.Type, depth int) {
	if depth > maxDepth {
		s.bad = true
		return
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
		s.decoded += int64(t.Size())
	}
	switch c := s.space(); {
	case s.bad:
	case t == quantityType:
		s.quantity(s.literal())
	case c == '{':
		s.object(t, depth)
	case c == '[':
		s.list(t, depth)
	default:
		s.literal()
	}
}

func (s *scan) object(t reflect.Type, depth int) {
	s.at++
	var m *members
	var each reflect.Type
	size := uintptr(16)
	if t != nil && t.Kind() == reflect.Struct {
		m, size = membersOf(t), 0
	} else if t != nil && t.Kind() == reflect.Map {
		each, size = t.Elem(), t.Elem().Size()+t.Key().Size()
	}
	for !s.stop() {
		switch s.space() {
		case '}':
			s.at++
			return
		case ',':
			s.at++
			continue
		case '"':
		default:
			s.bad = true
			return
		}
		key := s.literal()
		if s.space() != ':' {
			s.bad = true
			return
		}
		s.at++
		s.element(size)
		inner := each
		if m != nil {
			inner = m.named[key]
		}
		s.value(inner, depth+1)
	}
}

func (s *scan) list(t reflect.Type, depth int) {
	s.at++
	var each reflect.Type
	size := uintptr(16)
	if t != nil && t.Kind() == reflect.Slice {
		each, size = t.Elem(), t.Elem().Size()
	}
	for n := 0; !s.stop(); n++ {
		s.longest = max(s.longest, n)
		switch s.space() {
		case ']':
			s.at++
			return
		case ',':
			s.at++
			n--
			continue
		case '}', ':':
			s.bad = true
			return
		}
		s.element(size)
		s.value(each, depth+1)
	}
}

// literal goes over a string, number or word and returns it, a string without its quotes.
func (s *scan) literal() string {
	from := s.at
	if s.at < len(s.data) && s.data[s.at] == '"' {
		for s.at++; s.at < len(s.data); s.at++ {
			switch s.data[s.at] {
			case '\\':
				s.at++
			case '"':
				s.at++
				return unquoted(s.data[from:s.at])
			}
		}
		s.bad = true
		return ""
	}
	for ; s.at < len(s.data); s.at++ {
		switch s.data[s.at] {
		case ',', ']', '}', ' ', '\t', '\r', '\n', ':', '[', '{', '"':
			s.bad = s.bad || s.at == from
			return string(s.data[from:s.at])
		}
	}
	return string(s.data[from:s.at])
}

// unquoted is the contents of a JSON string of few characters; long ones are no names and no numbers.
func unquoted(b []byte) string {
	if len(b) > 256 {
		return string(b[1:256])
	}
	if text, err := strconv.Unquote(string(b)); err == nil {
		return text
	}
	return string(b[1 : len(b)-1])
}
