package apply

import (
	"fmt"
	"strings"
	"sync"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Engine patches objects and keeps their managed fields. It may be used by many goroutines at once.
type Engine struct {
	types    *converter
	kinds    func(schema.GroupVersionKind) *api.Kind
	managers sync.Map // target -> *managedfields.FieldManager; those of kinds that are gone are dropped by and by
	models   models
	made     memo
	owned    sets
}

// target is what one field manager looks after.
type target struct {
	kind *api.Kind
	sub  string
}

// New returns an engine over the types that types finds, one for every kind that will be patched. It is asked when an object of the
// kind is first written. kinds finds the kind that another version of an object is of, whose fields somebody may own; it may be nil where
// every kind has one version.
func New(types Types, kinds func(schema.GroupVersionKind) *api.Kind) *Engine {
	e := &Engine{kinds: kinds, types: &converter{find: types}}
	e.models.types = e.types
	return e
}

// manager returns the field manager of a kind or of one of its subresources.
func (e *Engine) manager(t target) (*managedfields.FieldManager, error) {
	if m, ok := e.managers.Load(t); ok {
		return m.(*managedfields.FieldManager), nil
	}
	types := e.converter(t)
	gvk := t.gvk()
	id := identity{t, e.kinds}
	make := managedfields.NewDefaultFieldManager
	if t.kind.Versions != nil {
		make = managedfields.NewDefaultCRDFieldManager // which converts what is owned in a version straight to that version
	}
	m, err := make(types, id, id, id, gvk, gvk.GroupVersion(), t.sub, t.filter())
	if err != nil {
		return nil, fmt.Errorf("field manager of %s: %w", gvk, err)
	}
	if t.untyped() && e.kinds != nil {
		e.forget()
	}
	e.managers.Store(t, m)
	return m, nil
}

// forget drops what was made for kinds that are served no longer, as custom resources come and go.
func (e *Engine) forget() {
	served := func(k *api.Kind) bool { return e.kinds(k.GVK()) == k }
	e.managers.Range(func(key, _ any) bool {
		if !served(key.(target).kind) {
			e.managers.Delete(key)
		}
		return true
	})
	e.models.forget(served)
}

// converter is what the fields of a target are told by: the schema of its kind, or, where there is none, the shape of each object.
// Then every map is a struct whose fields have owners, and a list belongs to one manager as a whole.
func (e *Engine) converter(t target) managedfields.TypeConverter {
	switch {
	case !t.untyped():
		return e.types
	case t.kind.Model == nil:
		return managedfields.NewDeducedTypeConverter()
	}
	return modelled{&e.models, identity{t, e.kinds}.find}
}

// Converter is what tells the fields of objects of a kind, or of a subresource's own body.
func (e *Engine) Converter(kind *api.Kind, sub string) managedfields.TypeConverter {
	return e.converter(target{kind, sub})
}

// codec is that of the objects which are patched; a subresource with a body of its own has a typed one.
func (t target) codec() api.Codec {
	if s := t.kind.Sub(t.sub); s != nil && s.New != nil {
		return api.Typed{}
	}
	return api.CodecOf(t.kind)
}

// untyped reports whether the objects are maps.
func (t target) untyped() bool { return !t.codec().Proto() }

func (t target) gvk() schema.GroupVersionKind {
	if s := t.kind.Sub(t.sub); s != nil && !s.GVK.Empty() {
		return s.GVK
	}
	return t.kind.GVK()
}

// empty returns a new object of the target's type with its apiVersion and kind set.
func (t target) empty() (api.Object, error) {
	var obj runtime.Object
	if s := t.kind.Sub(t.sub); s != nil && s.New != nil {
		obj = s.New()
	} else {
		obj = t.kind.New()
	}
	o, ok := obj.(api.Object)
	if !ok {
		return nil, fmt.Errorf("%s cannot be patched: %T has no metadata", t.gvk(), obj)
	}
	o.GetObjectKind().SetGroupVersionKind(t.gvk())
	return o, nil
}

func (t target) fill(obj runtime.Object) {
	if o, ok := obj.(api.Object); ok && t.kind.Default != nil && t.gvk() == t.kind.GVK() {
		t.kind.Default(o)
	}
}

// resetPaths are the fields that a write through the target leaves as they were.
func (t target) resetPaths() []string {
	if t.sub == "" {
		if t.kind.ResetFields == nil && t.kind.Sub("status") != nil {
			return []string{"status"}
		}
		return t.kind.ResetFields
	}
	s := t.kind.Sub(t.sub)
	if s != nil && s.ResetFields == nil && t.sub == "status" {
		return []string{"spec"}
	}
	if s != nil {
		return s.ResetFields
	}
	return nil
}

// filter lets pass the fields that a write through the target may come to own.
func (t target) filter() map[fieldpath.APIVersion]fieldpath.Filter {
	version := fieldpath.APIVersion(t.gvk().GroupVersion().String())
	if s := t.kind.Sub(t.sub); s != nil && s.OwnFields != nil {
		return map[fieldpath.APIVersion]fieldpath.Filter{version: only(s.OwnFields)}
	}
	set := fieldpath.NewSet()
	for _, p := range t.resetPaths() {
		set.Insert(fieldpath.MakePathOrDie(split(p)...))
	}
	return fieldpath.NewExcludeFilterSetMap(map[fieldpath.APIVersion]*fieldpath.Set{version: set})
}

// only is a filter that lets the paths pass and what is under them.
func only(paths []string) fieldpath.Filter {
	var out []*fieldpath.SetMatcher
	for _, p := range paths {
		parts := split(p)
		for i := range parts {
			if parts[i] == "*" {
				parts[i] = fieldpath.MatchAnyPathElement()
			}
		}
		out = append(out, fieldpath.MakePrefixMatcherOrDie(parts...))
	}
	return fieldpath.NewIncludeMatcherFilter(out...)
}

func split(path string) []any {
	var parts []any
	for f := range strings.SplitSeq(path, ".") {
		parts = append(parts, f)
	}
	return parts
}
