package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	stdjson "encoding/json"
	"io"
	"net/http"
	"sync"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// Frames writes the events of one watch. The bytes of an object are those that every other reader of it gets; only the few
// around them are made per watch.
type Frames struct {
	out   Output
	kind  *api.Kind
	to    io.Writer
	w     *bufio.Writer // nil while there is nothing to flush: an idle watch holds no buffer
	flush func() error
	head  []byte
	first bool
	pack  *packer // nil: not compressed

	// Sent, when set, is told of each event that has been written, and how many bytes of the stream it takes before compression.
	Sent func(size int)

	// Of a stream whose messages are told apart by what carries them: where each goes, and what of it has been written.
	send  func([]byte) error
	whole bytes.Buffer
}

var buffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 8<<10) }}

// buffer is where the next event goes.
func (f *Frames) buffer() *bufio.Writer {
	if f.w == nil {
		f.w = buffers.Get().(*bufio.Writer)
		f.w.Reset(f.to)
	}
	return f.w
}

var errNoStream = NotAcceptable([]string{TypeJSON + ";stream=watch", TypeProto + ";stream=watch"})

// streams says why events of a kind cannot be sent in the format.
func (o Output) streams(k *api.Kind) error {
	switch {
	case o.Format == YAML:
		return errNoStream
	case o.Format == Proto && o.Convert.Kind == "" && k != nil && !api.CodecOf(k).Proto():
		return api.NoProto(k.New())
	}
	return nil
}

// NewMessages prepares a watch over messages: send is called with each event. They are those of a plain watch, but protobuf
// without its length.
func (o Output) NewMessages(k *api.Kind, send func([]byte) error) (*Frames, error) {
	if err := o.streams(k); err != nil {
		return nil, err
	}
	f := &Frames{out: o, kind: k, first: true, send: send, flush: func() error { return nil }}
	f.to = &f.whole
	return f, nil
}

// NewFrames prepares a watch response; nothing is sent before the first Flush. YAML cannot be streamed. packed compresses it.
func (o Output) NewFrames(w http.ResponseWriter, k *api.Kind, packed bool) (*Frames, error) {
	if err := o.streams(k); err != nil {
		return nil, err
	}
	ct := types[o.Format]
	if o.Format == Proto {
		ct += ";stream=watch"
	}
	w.Header().Set("Content-Type", ct)
	w.Header().Set("Cache-Control", "no-cache, private")
	f := &Frames{out: o, kind: k, to: w, flush: http.NewResponseController(w).Flush, first: true}
	if packed {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Add("Vary", "Accept-Encoding")
		f.pack = &packer{to: w}
		f.to = f.pack
	}
	w.WriteHeader(http.StatusOK)
	return f, nil
}

// Write adds one event.
func (f *Frames) Write(t watch.EventType, item Item) error {
	if err := f.event(t, item); err != nil || f.send == nil {
		return err
	}
	if err := f.w.Flush(); err != nil {
		return err
	}
	err := f.send(f.whole.Bytes())
	if f.whole.Reset(); f.whole.Cap() > 64<<10 {
		f.whole = bytes.Buffer{}
	}
	return err
}

func (f *Frames) event(t watch.EventType, item Item) error {
	if f.out.Convert.Kind != "" {
		obj, err := f.out.convertItem(f.kind, item)
		if err != nil {
			return err
		}
		if obj != nil {
			return f.value(t, obj)
		}
	}
	if f.out.Format == Proto {
		return f.proto(t, item)
	}
	data, err := item.JSON()
	if err != nil {
		return err
	}
	return f.json(t, data)
}

func (f *Frames) json(t watch.EventType, data []byte) error {
	f.head = append(append(append(f.head[:0], `{"type":"`...), t...), `","object":`...)
	w := f.buffer()
	w.Write(f.head)
	w.Write(data)
	_, err := w.WriteString("}\n")
	if f.Sent != nil {
		f.Sent(len(f.head) + len(data) + len("}\n"))
	}
	return err
}

func (f *Frames) proto(t watch.EventType, item Item) error {
	msg, err := item.Proto()
	if err != nil {
		return err
	}
	gvk, err := f.gvk(t, item)
	if err != nil {
		return err
	}
	return f.message(t, gvk, msg)
}

// message writes a WatchEvent, with its length before it unless that is known otherwise, {type (1), object (2) {raw (1)}}.
func (f *Frames) message(t watch.EventType, gvk schema.GroupVersionKind, msg []byte) error {
	env := appendEnvelope(nil, gvk, len(msg))
	raw := len(env) + len(msg) + len(envelopeEnd)
	ext := fieldLen(raw)
	total := fieldLen(len(t)) + fieldLen(ext)
	h := f.head[:0]
	if f.send == nil {
		h = binary.BigEndian.AppendUint32(h, uint32(total))
	}
	h = appendBytesField(h, 1<<3|2, string(t))
	h = binary.AppendUvarint(append(h, 2<<3|2), uint64(ext))
	h = binary.AppendUvarint(append(h, 1<<3|2), uint64(raw))
	h = append(h, env...)
	f.head = h
	w := f.buffer()
	w.Write(h)
	w.Write(msg)
	_, err := w.Write(envelopeEnd)
	if f.Sent != nil {
		f.Sent(len(h) + len(msg) + len(envelopeEnd))
	}
	return err
}

func (f *Frames) gvk(t watch.EventType, item Item) (schema.GroupVersionKind, error) {
	if t != watch.Error && f.kind != nil {
		return f.kind.GVK(), nil
	}
	return gvkOf(item)
}

// value writes an event whose object was made for this watch.
func (f *Frames) value(t watch.EventType, obj runtime.Object) error {
	if tab, ok := obj.(*metav1.Table); ok {
		if !f.first {
			tab.ColumnDefinitions = nil // only the first event says what the columns are
		}
		f.first = false
	}
	if m, ok := obj.(interface{ Marshal() ([]byte, error) }); ok && f.out.Format == Proto {
		msg, err := m.Marshal()
		if err != nil {
			return err
		}
		return f.message(t, obj.GetObjectKind().GroupVersionKind(), msg)
	}
	data, err := stdjson.Marshal(obj)
	if err != nil {
		return err
	}
	return f.json(t, data)
}

// Flush sends what has been written.
func (f *Frames) Flush() error {
	if f.w != nil {
		if f.pack != nil {
			f.pack.all = true
		}
		err := f.w.Flush()
		if f.pack != nil && err == nil {
			err = f.pack.end()
		}
		f.w.Reset(nil)
		buffers.Put(f.w)
		f.w = nil
		if cap(f.head) > 512 {
			f.head = nil
		}
		if err != nil {
			return err
		}
	}
	return f.flush()
}
