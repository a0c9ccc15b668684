package wire

import (
	"encoding/binary"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The protobuf envelope is "k8s\0" and a runtime.Unknown: typeMeta (1) {apiVersion (1), kind (2)}, raw (2),
// contentEncoding (3), contentType (4), the last two always there and empty.

var magic = []byte("k8s\x00")

const (
	tagTypeMeta = 1<<3 | 2
	tagRaw      = 2<<3 | 2
)

var envelopeEnd = []byte{3<<3 | 2, 0, 4<<3 | 2, 0}

func appendBytesField(b []byte, tag byte, data string) []byte {
	b = append(b, tag)
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...)
}

// appendEnvelope appends all of the envelope that stands before a message of size bytes; envelopeEnd follows the message.
func appendEnvelope(b []byte, gvk schema.GroupVersionKind, size int) []byte {
	apiVersion := gvk.GroupVersion().String()
	b = append(b, magic...)
	meta := 2 + len(apiVersion) + 2 + len(gvk.Kind) // both shorter than 128
	b = append(b, tagTypeMeta)
	b = binary.AppendUvarint(b, uint64(meta))
	b = appendBytesField(b, 1<<3|2, apiVersion)
	b = appendBytesField(b, 2<<3|2, gvk.Kind)
	b = append(b, tagRaw)
	return binary.AppendUvarint(b, uint64(size))
}

func uvarintLen(n int) int {
	size := 1
	for v := uint64(n); v >= 0x80; v >>= 7 {
		size++
	}
	return size
}

// fieldLen is the size of a length-delimited field with a one-byte tag.
func fieldLen(n int) int { return 1 + uvarintLen(n) + n }
