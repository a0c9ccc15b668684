package wire

import (
	"encoding/binary"
	stdjson "encoding/json"
	"fmt"
	"net/http"

	"sampan.dev/internal/api"

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
	gvk := k.GVK()
	gvk.Kind += "List"
	if o.Format == Proto {
		return o.writeProtoList(w, r, gvk, meta, n, func(i int) ([]byte, error) { return at(i).Proto() })
	}
	head := itemHead(k)
	return o.writeJSONList(w, r, gvk, meta, n, func(i int) ([]byte, []byte, error) {
		data, err := at(i).JSON()
		if err != nil {
			return nil, nil, err
		}
		if len(data) > len(head) && string(data[:len(head)]) == head {
			return openBrace, data[len(head):], nil // items of a typed list do not repeat apiVersion and kind
		}
		return nil, data, nil
	})
}

var (
	openBrace = []byte("{")
	comma     = []byte(",")
)

// itemHead is how the JSON of an object of kind k begins.
func itemHead(k *api.Kind) string {
	return fmt.Sprintf(`{"kind":%q,"apiVersion":%q,`, k.Kind, k.GVK().GroupVersion().String())
}

func (o Output) writeJSONList(w http.ResponseWriter, r *http.Request, gvk schema.GroupVersionKind, meta metav1.ListMeta, n int, at func(int) (lead, body []byte, err error)) error {
	m, err := stdjson.Marshal(meta)
	if err != nil {
		return err
	}
	head := fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,"metadata":%s,"items":[`, gvk.Kind, gvk.GroupVersion().String(), m)
	parts := make([][]byte, 0, 3*n+3)
	parts = append(parts, head)
	for i := range n {
		lead, body, err := at(i)
		if err != nil {
			return err
		}
		if i > 0 {
			parts = append(parts, comma)
		}
		if lead != nil {
			parts = append(parts, lead)
		}
		parts = append(parts, body)
	}
	parts = append(parts, []byte("]}"))
	if o.Format == YAML || o.Pretty {
		var all []byte
		for _, p := range parts {
			all = append(all, p...)
		}
		return o.sendJSON(w, r, http.StatusOK, all)
	}
	return o.send(w, r, http.StatusOK, append(parts, newline))
}

// writeProtoList concatenates: metadata is field 1 of every list, items field 2.
func (o Output) writeProtoList(w http.ResponseWriter, r *http.Request, gvk schema.GroupVersionKind, meta metav1.ListMeta, n int, at func(int) ([]byte, error)) error {
	m, err := meta.Marshal()
	if err != nil {
		return err
	}
	size := fieldLen(len(m))
	parts := make([][]byte, 2, 2*n+3)
	parts[1] = append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(m))), m...)
	heads := make([]byte, 0, 4*n)
	for i := range n {
		msg, err := at(i)
		if err != nil {
			return err
		}
		size += fieldLen(len(msg))
		from := len(heads)
		heads = append(heads, 2<<3|2)
		heads = binary.AppendUvarint(heads, uint64(len(msg)))
		parts = append(parts, heads[from:len(heads):len(heads)], msg)
	}
	parts[0] = appendEnvelope(nil, gvk, size)
	return o.send(w, r, http.StatusOK, append(parts, envelopeEnd))
}

// writePartialList sends only the metadata of the items.
func (o Output) writePartialList(w http.ResponseWriter, r *http.Request, k *api.Kind, meta metav1.ListMeta, n int, at func(int) Item) error {
	if o.Convert.Kind == "PartialObjectMetadata" {
		return notAcceptable(fmt.Sprintf("you requested PartialObjectMetadata, but the requested object is a list (*%s.%sList)", groupName(k.Group), k.Kind))
	}
	gvk := o.Convert
	list := &metav1.PartialObjectMetadataList{ListMeta: meta} // without items it says null, as upstream's does
	if n > 0 {
		list.Items = make([]metav1.PartialObjectMetadata, 0, n)
	}
	for i := range n {
		p, err := o.partial(at(i))
		if err != nil {
			return err
		}
		list.Items = append(list.Items, *p)
	}
	list.GetObjectKind().SetGroupVersionKind(gvk)
	return o.WriteValue(w, r, http.StatusOK, list)
}
