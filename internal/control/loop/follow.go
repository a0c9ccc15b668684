package loop

import (
	"iter"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client/cache"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Owners are the objects of one kind that own others by controller references.
type Owners struct {
	Kind  schema.GroupKind
	Queue *Queue // of the owners' keys
	// Selectors yields the key and the selector of each owner in a namespace.
	Selectors func(namespace string) iter.Seq2[string, *metav1.LabelSelector]
}

// SelectorsOf makes Owners.Selectors of the owners' informer.
func SelectorsOf[T api.Object](owners *cache.Informer[T], selector func(T) *metav1.LabelSelector) func(string) iter.Seq2[string, *metav1.LabelSelector] {
	return func(namespace string) iter.Seq2[string, *metav1.LabelSelector] {
		return func(yield func(string, *metav1.LabelSelector) bool) {
			for _, o := range owners.List(namespace) {
				if !yield(Key(o), selector(o)) {
					return
				}
			}
		}
	}
}

// Follow makes the owner of each object of an informer due when the object changes: after an update of which matters says so
// (nil: after each), the owner that it had before too. An object without an owner makes those due that would adopt it.
func Follow[T api.Object](i *cache.Informer[T], owners Owners, matters func(old, obj T) bool) {
	i.Handle(cache.Handler[T]{
		Add: func(obj T) { owners.changed(obj) },
		Update: func(old, obj T) {
			if matters != nil && !matters(old, obj) {
				return
			}
			if a, b := metav1.GetControllerOfNoCopy(old), metav1.GetControllerOfNoCopy(obj); a != nil && (b == nil || a.UID != b.UID) {
				owners.changed(old)
			}
			owners.changed(obj)
		},
		Delete: func(obj T) { owners.changed(obj) },
	})
}

func (o *Owners) changed(obj api.Object) {
	if ref := metav1.GetControllerOfNoCopy(obj); ref != nil {
		if ref.Kind != o.Kind.Kind {
			return
		}
		if gv, err := schema.ParseGroupVersion(ref.APIVersion); err == nil && gv.Group == o.Kind.Group {
			o.Queue.Add(KeyOf(obj.GetNamespace(), ref.Name))
		}
		return
	}
	if obj.GetDeletionTimestamp() != nil || len(obj.GetLabels()) == 0 {
		return
	}
	for key, selector := range o.Selectors(obj.GetNamespace()) {
		sel, err := metav1.LabelSelectorAsSelector(selector)
		if err == nil && !sel.Empty() && sel.Matches(labels.Set(obj.GetLabels())) {
			o.Queue.Add(key)
		}
	}
}
