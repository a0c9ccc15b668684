package cache

import (
	"bytes"
	"encoding/binary"
)

// Protobuf surgery on stored objects: enough of the wire format to put a resourceVersion into an object's metadata
// without decoding the object. All objects of k8s.io/api carry metadata as field 1 (ObjectMeta) and that carries
// resourceVersion as field 6; k8s.io/apimachinery/pkg/runtime/generated.proto has the envelope (Unknown).
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5

	fieldMetadata        = 1 // of every object
	fieldResourceVersion = 6 // of ObjectMeta

	fieldTypeMeta        = 1 // of Unknown
	fieldRaw             = 2
	fieldContentEncoding = 3
	fieldContentType     = 4
)

var magic = []byte("k8s\x00")

// span is one field of a message: b[start:end] with its tag, b[value:end] its contents.
type span struct{ start, value, end int }

// next reads the field that starts at b[at].
func next(b []byte, at int) (num int, wire int, s span, ok bool) {
	tag, n := binary.Uvarint(b[at:])
	if n <= 0 {
		return 0, 0, span{}, false
	}
	s = span{start: at, value: at + n}
	num, wire = int(tag>>3), int(tag&7)
	switch wire {
	case wireVarint:
		_, n := binary.Uvarint(b[s.value:])
		if n <= 0 {
			return 0, 0, span{}, false
		}
		s.end = s.value + n
	case wireFixed64:
		s.end = s.value + 8
	case wireFixed32:
		s.end = s.value + 4
	case wireBytes:
		l, n := binary.Uvarint(b[s.value:])
		if n <= 0 || l > uint64(len(b)) {
			return 0, 0, span{}, false
		}
		s.value += n
		s.end = s.value + int(l)
	default:
		return 0, 0, span{}, false
	}
	return num, wire, s, s.end <= len(b)
}

// find returns the only field num of b, which must be length-delimited. ok is false when b is not a message, or has the
// field twice; found tells whether it is there.
func find(b []byte, num int) (s span, found, ok bool) {
	for at := 0; at < len(b); {
		n, wire, f, good := next(b, at)
		if !good {
			return span{}, false, false
		}
		if n == num {
			if found || wire != wireBytes {
				return span{}, false, false
			}
			s, found = f, true
		}
		at = f.end
	}
	return s, found, true
}

// first is find for readers that need no proof that the field is there once: it stops at the first one.
func first(b []byte, num int) []byte {
	for at := 0; at < len(b); {
		n, wire, f, good := next(b, at)
		if !good {
			return nil
		}
		if n == num && wire == wireBytes {
			return b[f.value:f.end]
		}
		at = f.end
	}
	return nil
}

// splice returns msg with metadata.resourceVersion set to rv, and whether msg could be understood. An empty rv yields
// the form that is stored: the field present and empty.
func splice(msg []byte, rv string) ([]byte, bool) {
	meta, found, ok := find(msg, fieldMetadata)
	if !ok || !found {
		return nil, false
	}
	body := msg[meta.value:meta.end]
	old, found, ok := find(body, fieldResourceVersion)
	if !ok {
		return nil, false
	}
	if !found {
		old = after(body, fieldResourceVersion)
	}
	size := len(body) - (old.end - old.start) + 1 + uvarintLen(len(rv)) + len(rv)
	out := make([]byte, 0, len(msg)-(meta.end-meta.start)+1+uvarintLen(size)+size)
	out = append(out, msg[:meta.start]...)
	out = append(out, fieldMetadata<<3|wireBytes)
	out = binary.AppendUvarint(out, uint64(size))
	out = append(out, body[:old.start]...)
	out = append(out, fieldResourceVersion<<3|wireBytes)
	out = binary.AppendUvarint(out, uint64(len(rv)))
	out = append(out, rv...)
	out = append(out, body[old.end:]...)
	return append(out, msg[meta.end:]...), true
}

// after returns the empty span before the first field with a number above num: where num belongs.
func after(b []byte, num int) span {
	at := 0
	for at < len(b) {
		n, _, f, ok := next(b, at)
		if !ok || n > num {
			break
		}
		at = f.end
	}
	return span{at, at, at}
}

func uvarintLen(n int) int {
	l := 1
	for ; n >= 0x80; n >>= 7 {
		l++
	}
	return l
}

// envelope is the part of a stored value around the message. All objects of a kind have the same one, so a cache keeps
// it once.
type envelope struct {
	head, tail []byte // before the tag of raw, the magic included; after raw
	apiVersion string
	kind       string
}

// open splits a stored value. ok is false for anything but the protobuf envelope of a plain message.
func open(stored []byte) (e envelope, msg []byte, ok bool) {
	if !bytes.HasPrefix(stored, magic) {
		return envelope{}, nil, false
	}
	b := stored[len(magic):]
	raw, found, ok := find(b, fieldRaw)
	if !ok || !found || len(first(b, fieldContentEncoding)) > 0 || len(first(b, fieldContentType)) > 0 {
		return envelope{}, nil, false
	}
	tm := first(b, fieldTypeMeta)
	return envelope{
		head:       stored[:len(magic)+raw.start],
		tail:       b[raw.end:],
		apiVersion: string(first(tm, 1)),
		kind:       string(first(tm, 2)),
	}, b[raw.value:raw.end], true
}

// seal is open's reverse.
func (e *envelope) seal(msg []byte) []byte {
	out := make([]byte, 0, len(e.head)+1+uvarintLen(len(msg))+len(msg)+len(e.tail))
	out = append(out, e.head...)
	out = append(out, fieldRaw<<3|wireBytes)
	out = binary.AppendUvarint(out, uint64(len(msg)))
	out = append(out, msg...)
	return append(out, e.tail...)
}

func (e *envelope) equal(o *envelope) bool {
	return bytes.Equal(e.head, o.head) && bytes.Equal(e.tail, o.tail)
}
