package wire

import (
	"bytes"
	"cmp"
	"compress/gzip"
	stdjson "encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// Item is one object as an answer, with shared encodings where it has them.
type Item interface {
	Object() (runtime.Object, error)
	JSON() ([]byte, error)  // no newline at its end
	Proto() ([]byte, error) // the bare message
}

const gzipFrom = 128 << 10 // bytes

// WriteItem sends one object of kind gvk as the client wants it; k, which may be nil, makes Table rows.
func (o Output) WriteItem(w http.ResponseWriter, r *http.Request, code int, k *api.Kind, item Item) error {
	obj, err := o.convertItem(k, item)
	if err != nil {
		return err
	}
	if obj != nil {
		return o.WriteValue(w, r, code, obj)
	}
	if o.Format == Proto {
		msg, err := item.Proto()
		if err != nil {
			return err
		}
		gvk, err := gvkOf(item)
		if err != nil {
			return err
		}
		return o.send(w, r, code, [][]byte{appendEnvelope(nil, gvk, len(msg)), msg, envelopeEnd})
	}
	data, err := item.JSON()
	if err != nil {
		return err
	}
	return o.sendJSON(w, r, code, data)
}

// gvkOf avoids decoding: most items know their kind without. k says nothing of the answers of subresources.
func gvkOf(item Item) (schema.GroupVersionKind, error) {
	if known, ok := item.(interface {
		GVK() schema.GroupVersionKind
	}); ok {
		if gvk := known.GVK(); !gvk.Empty() {
			return gvk, nil
		}
	}
	obj, err := item.Object()
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	if gvk := obj.GetObjectKind().GroupVersionKind(); !gvk.Empty() {
		return gvk, nil
	}
	return api.GVKOf(obj)
}

// WriteValue encodes and sends a value made for this answer.
func (o Output) WriteValue(w http.ResponseWriter, r *http.Request, code int, obj runtime.Object) error {
	if err := api.SetGVK(obj); err != nil {
		return err
	}
	if m, ok := obj.(interface{ Marshal() ([]byte, error) }); ok && o.Format == Proto {
		msg, err := m.Marshal()
		if err != nil {
			return err
		}
		return o.send(w, r, code, [][]byte{appendEnvelope(nil, obj.GetObjectKind().GroupVersionKind(), len(msg)), msg, envelopeEnd})
	}
	if o.Format == Proto {
		o.Format = JSON
	}
	data, err := stdjson.Marshal(obj)
	if err != nil {
		return err
	}
	return o.sendJSON(w, r, code, data)
}

// sendJSON sends a JSON document, as YAML or indented where that was asked for.
func (o Output) sendJSON(w http.ResponseWriter, r *http.Request, code int, data []byte) error {
	switch {
	case o.Format == YAML:
		y, err := yaml.JSONToYAML(data)
		if err != nil {
			return err
		}
		return o.send(w, r, code, [][]byte{y})
	case o.Pretty:
		var b bytes.Buffer
		if err := stdjson.Indent(&b, data, "", "  "); err != nil {
			return err
		}
		data = b.Bytes()
	}
	return o.send(w, r, code, [][]byte{data, newline})
}

var newline = []byte("\n")

// send writes the parts of a body one after another.
func (o Output) send(w http.ResponseWriter, r *http.Request, code int, parts [][]byte) error {
	h := w.Header()
	h.Set("Content-Type", cmp.Or(o.contentType, types[o.Format]))
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if size > gzipFrom && AcceptsGzip(r) {
		return sendGzip(w, code, parts)
	}
	h.Set("Content-Length", strconv.Itoa(size))
	w.WriteHeader(code)
	if r.Method == http.MethodHead {
		return nil
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return nil // the client has gone; there is nobody to tell
		}
	}
	return nil
}

// AcceptsGzip reports whether the client takes a compressed answer.
func AcceptsGzip(r *http.Request) bool {
	for v := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(v), ";")
		if name == "gzip" && !strings.Contains(q, "q=0") || name == "gzip" && strings.Contains(q, "q=0.") {
			return true
		}
	}
	return false
}

var gzips = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // a constant level
	}
	return z
}}

func sendGzip(w http.ResponseWriter, code int, parts [][]byte) error {
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Add("Vary", "Accept-Encoding")
	w.WriteHeader(code)
	z := gzips.Get().(*gzip.Writer)
	defer gzips.Put(z)
	z.Reset(w)
	for _, p := range parts {
		if _, err := z.Write(p); err != nil {
			return nil
		}
	}
	z.Close()
	return nil
}
