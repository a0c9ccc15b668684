package price

import (
	"bytes"
	"encoding/binary"
	"reflect"
)

// Proto is JSON for a body of protobuf, whose message is field 2 of the envelope.
func Proto(data []byte, into any) error {
	if len(data) < priceFrom && !suspect(data) {
		return nil
	}
	p := &price{}
	if body, ok := bytes.CutPrefix(data, []byte("k8s\x00")); ok {
		fields(body, func(num int, value []byte) bool {
			if num == 2 {
				p.message(value, typeOf(into), 0)
			}
			return p.err == nil
		})
	}
	return p.err
}

// message looks through a message that will be decoded into a t.
func (p *price) message(data []byte, t reflect.Type, depth int) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
		p.decoded += int64(t.Size())
	}
	p.check()
	switch {
	case p.err != nil || t.Kind() != reflect.Struct || depth > 100:
		return
	case t == quantityType:
		fields(data, func(num int, value []byte) bool {
			if num == 1 {
				p.quantity(string(value[:min(len(value), 256)]))
			}
			return true
		})
		return
	}
	m := membersOf(t)
	fields(data, func(num int, value []byte) bool {
		f, ok := m.numbered[num]
		if !ok {
			return true
		}
		switch f.Kind() {
		case reflect.Slice:
			if f.Elem().Kind() != reflect.Uint8 {
				p.element(f.Elem().Size())
				p.message(value, f.Elem(), depth+1)
			}
		case reflect.Map:
			p.element(f.Elem().Size() + f.Key().Size())
			fields(value, func(num int, inner []byte) bool {
				if num == 2 {
					p.message(inner, f.Elem(), depth+1)
				}
				return true
			})
		default:
			p.fields++
			p.message(value, f, depth+1)
		}
		return p.err == nil
	})
}

// fields calls fn with every field of a message that has a length, until it returns false or something else is found.
func fields(b []byte, fn func(num int, value []byte) bool) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return
		}
		b = b[n:]
		size := uint64(0)
		switch tag & 7 {
		case 0:
			if _, n = binary.Uvarint(b); n <= 0 {
				return
			}
			size = uint64(n)
		case 1:
			size = 8
		case 5:
			size = 4
		case 2:
			if size, n = binary.Uvarint(b); n <= 0 || size > uint64(len(b)-n) {
				return
			}
			if !fn(int(tag>>3), b[n:n+int(size)]) {
				return
			}
			b = b[n:]
		default:
			return
		}
		if size > uint64(len(b)) {
			return
		}
		b = b[size:]
	}
}
