package wire

import (
	"encoding/binary"
	stdjson "encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/deflate"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// WriteList sends a list of items, each as it is encoded already; no list object is made. n is the number of items and at
// returns one of them.
func (o Output) WriteList(w http.ResponseWriter, r *http.Request, k *api.Kind, meta metav1.ListMeta, n int, at func(int) Item) error {
	switch o.Convert.Kind {
	case "Table":
		return o.writeTable(w, r, k, meta, n, at)
	case "PartialObjectMetadataList", "PartialObjectMetadata":
		return o.writePartialList(w, r, k, meta, n, at)
	}
	l := listing{o: o, n: n, at: at, gvk: k.ListGVK(), meta: meta, itemHead: itemHead(k), untyped: k.Model != nil}
	if o.Format == Proto {
		if !api.CodecOf(k).Proto() {
			return api.NoProto(k.NewList())
		}
		return l.send(w, r, protoList{&l})
	}
	if o.Format == YAML || o.Pretty {
		data, err := l.document(r)
		if err != nil {
			return err
		}
		return o.sendJSON(w, r, http.StatusOK, data)
	}
	return l.send(w, r, jsonList{&l})
}

// listing is a list on its way out.
type listing struct {
	o        Output
	n        int
	at       func(int) Item
	gvk      schema.GroupVersionKind // of the list
	meta     metav1.ListMeta
	itemHead string
	untyped  bool     // of objects that have no Go type
	buf      [16]byte // for what is before an element
}

// shape is an encoding of lists: something before the items, the items, each with something before it, and an end.
type shape interface {
	form() cache.Form
	// head is what comes first; items is how many bytes all items take together with what is before each.
	head(items int) ([]byte, error)
	// item is element i: lead, made in buf, and the item's own bytes.
	item(i int, buf []byte) (lead, body []byte, err error)
	tail() []byte
}

// send writes the list, going over the items once to learn how long it is and once to send them: nothing of the size of
// the list is made.
func (l *listing) send(w http.ResponseWriter, r *http.Request, s shape) error {
	items := 0
	for i := range l.n {
		if err := cancelled(r, i); err != nil {
			return err
		}
		lead, body, err := s.item(i, l.buf[:0])
		if err != nil {
			return err
		}
		items += len(lead) + len(body)
	}
	head, err := s.head(items)
	if err != nil {
		return err
	}
	size := len(head) + items + len(s.tail())
	h := w.Header()
	h.Set("Content-Type", types[l.o.Format])
	if size > gzipFrom && AcceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		w.WriteHeader(http.StatusOK)
		l.compressed(&deflate.Stream{W: w}, s, head)
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(size))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	out := errWriter{w: w}
	out.write(head)
	for i := 0; i < l.n && out.err == nil; i++ {
		if cancelled(r, i) != nil {
			panic(http.ErrAbortHandler) // less has come than was announced
		}
		lead, body, err := s.item(i, l.buf[:0])
		if err != nil {
			return err // unheard of: it could be made a moment ago
		}
		out.write(lead)
		out.write(body)
	}
	out.write(s.tail())
	return nil // if it could not be sent, the client has gone; there is nobody to tell
}

// compressed sends the list as gzip. Its elements were compressed in runs by the first who listed them so.
func (l *listing) compressed(z *deflate.Stream, s shape, head []byte) {
	err := z.Raw(head)
	var revisions []int64
	for i := 0; i < l.n && err == nil; {
		from := i
		first := entryOf(l.at(i))
		revisions = revisions[:0]
		if i++; first != nil {
			revisions = append(revisions, first.Revision)
		}
		// The first element of a JSON list has no comma before it, and so stands alone.
		for ; from > 0 && first != nil && i < l.n && i-from < maxRun; i++ {
			e := entryOf(l.at(i))
			if e == nil || e.Begins() {
				break
			}
			revisions = append(revisions, e.Revision)
		}
		keeps := from > 0 && first != nil
		if keeps {
			if r := first.Run(s.form()); r != nil && slices.Equal(r.Revisions, revisions) {
				err = z.Block(r.Block)
				continue
			}
		}
		b := l.press(s, from, i)
		if b == nil {
			return // the stream stays without its end, which the client notices
		}
		if keeps {
			first.KeepRun(s.form(), &cache.Run{Revisions: slices.Clone(revisions), Block: b})
		}
		err = z.Block(b)
	}
	z.Raw(s.tail()) //nolint:errcheck // End tells
	z.End()         //nolint:errcheck // the client has gone
}

// maxRun bounds how much is compressed anew because one object has changed.
const maxRun = 128

// press compresses elements from up to to.
func (l *listing) press(s shape, from, to int) *deflate.Block {
	p := deflate.NewPress()
	for i := from; i < to; i++ {
		lead, body, err := s.item(i, l.buf[:0])
		if err != nil {
			return nil
		}
		p.Add(lead)
		p.Add(body)
	}
	return p.Block()
}

// entryOf is the cache's entry that an item is of, if any.
func entryOf(item Item) *cache.Entry {
	if r, ok := item.(interface{ Entry() *cache.Entry }); ok {
		return r.Entry()
	}
	return nil
}

type errWriter struct {
	w   http.ResponseWriter
	err error
}

func (e *errWriter) write(p []byte) {
	if e.err == nil && len(p) > 0 {
		_, e.err = e.w.Write(p)
	}
}

// jsonList is {"kind":…,"apiVersion":…,"metadata":…,"items":[…]}. Items of a typed list do not repeat apiVersion and kind.
type jsonList struct{ *listing }

func (jsonList) form() cache.Form { return cache.ListJSON }

func (l jsonList) head(int) ([]byte, error) {
	m, err := stdjson.Marshal(l.meta)
	if err != nil {
		return nil, err
	}
	if l.untyped && l.meta.Continue == "" { // upstream's lists of custom resources always have it
		m = append([]byte(`{"continue":"",`), m[1:]...)
	}
	return fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,"metadata":%s,"items":[`, l.gvk.Kind, l.gvk.GroupVersion().String(), m), nil
}

func (l jsonList) item(i int, buf []byte) ([]byte, []byte, error) {
	data, err := l.at(i).JSON()
	if err != nil {
		return nil, nil, err
	}
	if i > 0 {
		buf = append(buf, ',')
	}
	if h := l.itemHead; len(data) > len(h) && string(data[:len(h)]) == h {
		return append(buf, '{'), data[len(h):], nil
	}
	return buf, data, nil
}

func (jsonList) tail() []byte { return jsonTail }

var jsonTail = []byte("]}\n")

// document is the whole list as one piece of JSON, for forms that are made of that.
func (l *listing) document(r *http.Request) ([]byte, error) {
	s := jsonList{l}
	all, err := s.head(0)
	if err != nil {
		return nil, err
	}
	for i := range l.n {
		if err := cancelled(r, i); err != nil {
			return nil, err
		}
		lead, body, err := s.item(i, l.buf[:0])
		if err != nil {
			return nil, err
		}
		all = append(append(all, lead...), body...)
	}
	return append(all, "]}"...), nil
}

// protoList is the envelope of a message whose metadata is field 1 and whose items are field 2.
type protoList struct{ *listing }

func (protoList) form() cache.Form { return cache.ListProto }

func (l protoList) head(items int) ([]byte, error) {
	m, err := l.meta.Marshal()
	if err != nil {
		return nil, err
	}
	h := appendEnvelope(nil, l.gvk, fieldLen(len(m))+items)
	return append(binary.AppendUvarint(append(h, 1<<3|2), uint64(len(m))), m...), nil
}

func (l protoList) item(i int, buf []byte) ([]byte, []byte, error) {
	msg, err := l.at(i).Proto()
	if err != nil {
		return nil, nil, err
	}
	return binary.AppendUvarint(append(buf, 2<<3|2), uint64(len(msg))), msg, nil
}

func (protoList) tail() []byte { return envelopeEnd }

// itemHead is how the JSON of an object of kind k begins.
func itemHead(k *api.Kind) string {
	return fmt.Sprintf(`{"kind":%q,"apiVersion":%q,`, k.Kind, k.GVK().GroupVersion().String())
}

// writePartialList sends only the metadata of the items.
func (o Output) writePartialList(w http.ResponseWriter, r *http.Request, k *api.Kind, meta metav1.ListMeta, n int, at func(int) Item) error {
	if o.Convert.Kind == "PartialObjectMetadata" {
		return notAcceptable(fmt.Sprintf("you requested PartialObjectMetadata, but the requested object is a list (*%s.%sList)", groupName(k.Group), k.Kind))
	}
	list := &metav1.PartialObjectMetadataList{ListMeta: meta} // without items it says null, as upstream's does
	list.GetObjectKind().SetGroupVersionKind(o.Convert)
	if n > 0 && o.Format != Proto && !o.whole() {
		list.Items = []metav1.PartialObjectMetadata{}
		head, err := stdjson.Marshal(list)
		if err != nil {
			return err
		}
		return o.sendElements(w, r, head, n, func(i int) ([]byte, error) {
			p, err := o.partial(at(i))
			if err != nil {
				return nil, err
			}
			return stdjson.Marshal(p)
		})
	}
	if n > 0 {
		list.Items = make([]metav1.PartialObjectMetadata, 0, n)
	}
	for i := range n {
		if err := cancelled(r, i); err != nil {
			return err
		}
		p, err := o.partial(at(i))
		if err != nil {
			return err
		}
		list.Items = append(list.Items, *p)
	}
	return o.WriteValue(w, r, http.StatusOK, list)
}
