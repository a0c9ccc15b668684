package wire

import (
	stdjson "encoding/json"
	"fmt"
	"net/http"
	"time"

	"sampan.dev/internal/api"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
)

func notAcceptable(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable, Message: message,
	}}
}

// convertItem makes what the client asked for instead of the object; nil means the object itself.
func (o Output) convertItem(k *api.Kind, item Item) (runtime.Object, error) {
	if o.Convert.Kind == "" {
		return nil, nil
	}
	obj, err := item.Object()
	if err != nil {
		return nil, err
	}
	if _, ok := obj.(*metav1.Status); ok {
		return nil, nil
	}
	switch o.Convert.Kind {
	case "PartialObjectMetadata":
		return o.partial(item)
	case "PartialObjectMetadataList":
		return nil, notAcceptable(fmt.Sprintf("you requested PartialObjectMetadataList, but the requested object is not a list (%s)", internalType(k, obj)))
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, notAcceptable("the object has no table form: " + err.Error())
	}
	t := o.table(k, metav1.ListMeta{ResourceVersion: m.GetResourceVersion()})
	if _, end := m.GetAnnotations()[metav1.InitialEventsAnnotationKey]; end || m.GetName() == "" {
		return t, o.bookmarkRow(t, k, item)
	}
	return t, o.row(t, k, item, time.Now())
}

// internalType is the Go type that an object has inside upstream, where messages show it.
func internalType(k *api.Kind, obj runtime.Object) string {
	if k == nil {
		return fmt.Sprintf("%T", obj)
	}
	return fmt.Sprintf("*%s.%s", groupName(k.Group), k.Kind)
}

// bookmarkRow carries the metadata of a bookmark, in which clients look for the end of the initial events.
// Its cells are those of an empty object.
func (o Output) bookmarkRow(t *metav1.Table, k *api.Kind, item Item) error {
	p, err := o.partial(item)
	if err != nil {
		return err
	}
	cells := make([]any, len(t.ColumnDefinitions))
	if k != nil && k.Row != nil && k.New != nil {
		cells = k.Row(k.New())
		for i, c := range cells {
			cells[i] = cell(c, time.Time{})
		}
	}
	t.Rows = append(t.Rows, metav1.TableRow{Cells: cells, Object: runtime.RawExtension{Object: p}})
	return nil
}

func (o Output) partial(item Item) (*metav1.PartialObjectMetadata, error) {
	obj, err := item.Object()
	if err != nil {
		return nil, err
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, notAcceptable("the object has no metadata: " + err.Error())
	}
	p := meta.AsPartialObjectMetadata(m)
	gvk := o.Convert
	gvk.Kind = "PartialObjectMetadata"
	if gvk.Version == "" {
		gvk.Group, gvk.Version = metav1.GroupName, "v1"
	}
	p.GetObjectKind().SetGroupVersionKind(gvk)
	return p, nil
}

// plainColumns are those of a kind that defines none.
var plainColumns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]},
	{Name: "Created At", Type: "date", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]},
}

func (o Output) table(k *api.Kind, list metav1.ListMeta) *metav1.Table {
	t := &metav1.Table{ListMeta: list, ColumnDefinitions: plainColumns, Rows: []metav1.TableRow{}}
	if k != nil && k.Columns != nil {
		t.ColumnDefinitions = k.Columns
	}
	t.GetObjectKind().SetGroupVersionKind(o.Convert)
	return t
}

// row appends the row of an item; ages are reckoned from now.
func (o Output) row(t *metav1.Table, k *api.Kind, item Item, now time.Time) error {
	obj, err := item.Object()
	if err != nil {
		return err
	}
	ob, ok := obj.(api.Object)
	if !ok {
		return notAcceptable(fmt.Sprintf("%T has no table form", obj))
	}
	row := metav1.TableRow{}
	if k != nil && k.Row != nil {
		row.Cells = k.Row(ob)
		for i, c := range row.Cells {
			row.Cells[i] = cell(c, now)
		}
	} else {
		row.Cells = []any{ob.GetName(), ob.GetCreationTimestamp().UTC().Format(time.RFC3339)}
	}
	switch o.IncludeObject {
	case metav1.IncludeObject:
		row.Object.Object = obj
	case metav1.IncludeNone:
	case metav1.IncludeMetadata, "":
		if row.Object.Object, err = o.partial(item); err != nil {
			return err
		}
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("Unable to convert to Table as requested: includeObject: Invalid value: %q: must be 'Metadata', 'Object', 'None', or empty", o.IncludeObject))
	}
	t.Rows = append(t.Rows, row)
	return nil
}

// cell turns times into ages.
func cell(c any, now time.Time) any {
	var at time.Time
	switch v := c.(type) {
	case metav1.Time:
		at = v.Time
	case *metav1.Time:
		if v == nil {
			return "<unknown>"
		}
		at = v.Time
	default:
		return c
	}
	if at.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(at))
}

// writeTable sends a table, row by row: the rows of a large kind are many times what the cache holds of it.
func (o Output) writeTable(w http.ResponseWriter, r *http.Request, k *api.Kind, list metav1.ListMeta, n int, at func(int) Item) error {
	k, err := rowsIn(k, n, at)
	if err != nil {
		return err
	}
	t := o.table(k, list)
	now := time.Now()
	if n == 0 || o.whole() {
		if n == 0 && (k == nil || k.Row == nil) {
			t.Rows = nil // as upstream's table of kinds without columns
		}
		for i := range n {
			if err := cancelled(r, i); err != nil {
				return err
			}
			if err := o.row(t, k, at(i), now); err != nil {
				return err
			}
		}
		return o.WriteValue(w, r, http.StatusOK, t)
	}
	head, err := stdjson.Marshal(t)
	if err != nil {
		return err
	}
	return o.sendElements(w, r, head, n, func(i int) ([]byte, error) {
		t.Rows = t.Rows[:0]
		if err := o.row(t, k, at(i), now); err != nil {
			return nil, err
		}
		return stdjson.Marshal(t.Rows[0])
	})
}

// rowsIn is k with the row function of one list, where that is not the one of single objects.
func rowsIn(k *api.Kind, n int, at func(int) Item) (*api.Kind, error) {
	if k == nil || k.RowIn == nil {
		return k, nil
	}
	var list []api.Object
	for i := range n {
		obj, err := at(i).Object()
		if err != nil {
			return nil, err
		}
		if ob, ok := obj.(api.Object); ok {
			list = append(list, ob)
		}
	}
	in := *k
	in.Row = k.RowIn(list)
	return &in, nil
}

// whole reports whether a list has a form that is made of all of it at once.
func (o Output) whole() bool { return o.Format == YAML || o.Pretty }

// Whole reports whether all of a list is in memory, beside the cache, before it is sent.
func (o Output) Whole() bool { return o.whole() || o.Format == Proto && o.Convert.Kind != "" }
