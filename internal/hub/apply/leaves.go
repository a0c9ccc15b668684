package apply

import (
	"bytes"
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// onlyLeaves brings the managed fields of an update up to date where that is simple: nothing differs from old but values of
// fields that manager owns already and nobody else does. Then only the time of the manager's entry changes. That is what
// most writes of a cluster are (a lease renewed, a status with a new time or count), and comparing by schema is most of
// their cost. It reports false when it is not so, and has then done nothing.
//
// The paths are made from the Go types: json names and patchMergeKey tags. Where the schema has it otherwise, such a path is
// not among those that are owned, and the schema decides.
func (e *Engine) onlyLeaves(t target, obj, old api.Object, manager string) bool {
	entries, sent := old.GetManagedFields(), obj.GetManagedFields()
	if sent != nil && !slices.EqualFunc(sent, entries, func(a, b metav1.ManagedFieldsEntry) bool { return sameButTime(a, b) && a.Time.Equal(b.Time) }) {
		return false // what was sent counts
	}
	mine := -1
	for i := range entries {
		if m := &entries[i]; m.Manager == manager && m.Operation == metav1.ManagedFieldsOperationUpdate && m.Subresource == t.sub &&
			m.APIVersion == t.gvk().GroupVersion().String() {
			mine = i
		}
	}
	if mine < 0 {
		return false
	}
	d := differ{}
	if !d.object(reflect.ValueOf(old).Elem(), reflect.ValueOf(obj).Elem()) {
		return false
	}
	for i := range entries {
		owned := e.owned.of(entries[i].FieldsV1)
		if owned == nil {
			return false
		}
		for _, p := range d.paths {
			if owned.Has(p) != (i == mine) {
				return false
			}
		}
	}
	out := slices.Clone(entries)
	if len(d.paths) > 0 {
		now := metav1.NewTime(time.Now().UTC())
		out[mine].Time = &now
		slices.SortFunc(out, byTime)
	}
	obj.SetManagedFields(out)
	return true
}

// sets remembers sets of fields that were read lately: objects of a kind have few different ones.
type sets struct {
	mu struct {
		sync.Mutex
		by    map[string]*fieldpath.Set // by their JSON
		bytes int                       // of that
	}
}

// How many are kept, of how many bytes of JSON together; as sets they take several times that. When there are more, all are
// forgotten.
const (
	setsSize  = 256
	setsBytes = 1 << 20
)

// of returns the set, which is not to be changed; nil when it cannot be read.
func (s *sets) of(f *metav1.FieldsV1) *fieldpath.Set {
	if f == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.mu.by[string(f.Raw)]; set != nil {
		return set
	}
	set := &fieldpath.Set{}
	if set.FromJSON(bytes.NewReader(f.Raw)) != nil {
		return nil
	}
	if len(f.Raw) > setsBytes/4 {
		return set
	}
	if s.mu.bytes += len(f.Raw); s.mu.by == nil || len(s.mu.by) == setsSize || s.mu.bytes > setsBytes {
		s.mu.by, s.mu.bytes = map[string]*fieldpath.Set{}, len(f.Raw)
	}
	s.mu.by[string(f.Raw)] = set
	return set
}

// byTime is the order in which managed fields are kept.
func byTime(a, b metav1.ManagedFieldsEntry) int {
	seconds := func(t *metav1.Time) int64 {
		if t == nil {
			return 0
		}
		return t.Unix()
	}
	return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(seconds(a.Time), seconds(b.Time)),
		cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Subresource, b.Subresource))
}

// differ collects the paths of scalars that differ between two values of the same shape. Its methods report false when
// more differs than that.
type differ struct {
	at    fieldpath.Path
	paths []fieldpath.Path
}

// maxLeaves is how many may differ: beyond, looking each up costs as much as comparing.
const maxLeaves = 64

// object compares two kinds. What metadata says of the write itself is not a field that anybody owns.
func (d *differ) object(a, b reflect.Value) bool {
	fields := fieldsOf(a.Type())
	for i := range fields {
		f := &fields[i]
		switch f.kind {
		case typeMetaType:
		case objectMetaType:
			if !sameMeta(a.Field(i).Addr().Interface().(*metav1.ObjectMeta), b.Field(i).Addr().Interface().(*metav1.ObjectMeta)) {
				return false
			}
		default:
			if !d.field(f, a.Field(i), b.Field(i)) {
				return false
			}
		}
	}
	return true
}

// sameMeta compares all that an update may come to own, and more where comparing more is simpler.
func sameMeta(a, b *metav1.ObjectMeta) bool {
	return a.Name == b.Name && a.Namespace == b.Namespace && a.GenerateName == b.GenerateName && a.UID == b.UID &&
		a.Generation == b.Generation && a.CreationTimestamp.Equal(&b.CreationTimestamp) && a.DeletionTimestamp.Equal(b.DeletionTimestamp) &&
		reflect.DeepEqual(a.DeletionGracePeriodSeconds, b.DeletionGracePeriodSeconds) && a.SelfLink == b.SelfLink &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) && slices.Equal(a.Finalizers, b.Finalizers) &&
		reflect.DeepEqual(a.OwnerReferences, b.OwnerReferences)
}

// structField is what is to be known of a field of a Go type.
type structField struct {
	kind     reflect.Type
	name     string // in JSON; empty when the fields of it are those of the whole
	left     bool   // it has no name and is no part of JSON as we know it
	mergeKey string
	class    class // of the shape of it
	scalar   bool  // it is a scalar or points to one
}

var structFields sync.Map // reflect.Type -> []structField

func fieldsOf(t reflect.Type) []structField {
	if known, ok := structFields.Load(t); ok {
		return known.([]structField)
	}
	out := make([]structField, t.NumField())
	for i := range out {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		out[i] = structField{
			kind: f.Type, name: name, left: name == "" && options != "inline" && !f.Anonymous,
			mergeKey: f.Tag.Get("patchMergeKey"), class: classOf(f.Type), scalar: isScalar(f.Type),
		}
	}
	structFields.Store(t, out)
	return out
}

var (
	typeMetaType   = reflect.TypeFor[metav1.TypeMeta]()
	objectMetaType = reflect.TypeFor[metav1.ObjectMeta]()
)

// scalars are the structs that are one value in JSON.
var scalars = map[reflect.Type]bool{
	reflect.TypeFor[metav1.Time]():        true,
	reflect.TypeFor[metav1.MicroTime]():   true,
	reflect.TypeFor[metav1.Duration]():    true,
	reflect.TypeFor[resource.Quantity]():  true,
	reflect.TypeFor[intstr.IntOrString](): true,
}

func (d *differ) field(f *structField, a, b reflect.Value) bool {
	if f.left {
		return false
	}
	if f.name == "" {
		return d.value(f.mergeKey, a, b)
	}
	d.at = append(d.at, fieldpath.PathElement{FieldName: &f.name})
	ok := d.value(f.mergeKey, a, b)
	d.at = d.at[:len(d.at)-1]
	return ok
}

// value compares two values; mergeKey is what tells the elements of a list apart.
func (d *differ) value(mergeKey string, a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		return a.UnsafePointer() == b.UnsafePointer() || d.value(mergeKey, a.Elem(), b.Elem())
	case reflect.Struct:
		if scalars[a.Type()] {
			return d.scalar(a, b)
		}
		fields := fieldsOf(a.Type())
		for i := range fields {
			if !d.field(&fields[i], a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		return d.slice(mergeKey, a, b)
	case reflect.String:
		return a.String() == b.String() || d.scalar(a, b)
	case reflect.Bool, reflect.Int32, reflect.Int64, reflect.Float64:
		return d.scalar(a, b)
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// slice compares lists of the same length and order. Where elements differ they must be told apart by one key.
func (d *differ) slice(mergeKey string, a, b reflect.Value) bool {
	if a.Len() != b.Len() || a.IsNil() != b.IsNil() {
		return false
	}
	if a.Len() == 0 || a.UnsafePointer() == b.UnsafePointer() {
		return true
	}
	if mergeKey == "" || a.Type().Elem().Kind() != reflect.Struct {
		return reflect.DeepEqual(a.Interface(), b.Interface())
	}
	for i := range a.Len() {
		k, ok := stringField(a.Index(i), mergeKey)
		if other, _ := stringField(b.Index(i), mergeKey); !ok || k != other {
			if !reflect.DeepEqual(a.Index(i).Interface(), b.Index(i).Interface()) {
				return false
			}
			continue
		}
		fields := value.FieldList{{Name: mergeKey, Value: value.NewValueInterface(k)}}
		d.at = append(d.at, fieldpath.PathElement{Key: &fields})
		ok = d.value("", a.Index(i), b.Index(i))
		d.at = d.at[:len(d.at)-1]
		if !ok {
			return false
		}
	}
	return true
}

// stringField is the struct's field of that json name, if it is a string.
func stringField(v reflect.Value, name string) (string, bool) {
	fields := fieldsOf(v.Type())
	for i := range fields {
		if fields[i].name == name && v.Field(i).Kind() == reflect.String {
			return v.Field(i).String(), true
		}
	}
	return "", false
}

// scalar compares values that are one in JSON. One that is empty may be absent, which is another matter than to differ.
func (d *differ) scalar(a, b reflect.Value) bool {
	if a.Comparable() && a.Equal(b) {
		return true
	}
	if sameInJSON(a.Interface(), b.Interface()) {
		return true
	}
	if a.IsZero() || b.IsZero() || len(d.paths) == maxLeaves {
		return false
	}
	d.paths = append(d.paths, d.at.Copy())
	return true
}

// sameInJSON compares values of one type. Some that differ are one in JSON: a Time has whole seconds there.
func sameInJSON(a, b any) bool {
	switch a := a.(type) {
	case metav1.Time:
		b := b.(metav1.Time)
		return a.IsZero() == b.IsZero() && a.Unix() == b.Unix()
	case metav1.MicroTime:
		b := b.(metav1.MicroTime)
		return a.IsZero() == b.IsZero() && a.UnixMicro() == b.UnixMicro()
	case resource.Quantity:
		b := b.(resource.Quantity)
		return a.String() == b.String()
	}
	return reflect.DeepEqual(a, b)
}
