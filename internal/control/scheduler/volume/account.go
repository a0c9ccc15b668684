package volume

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// account has the claims and volumes as they will be when all that was reserved is written. An entry stands for the informer's object
// until that is newer than what the entry was made from, or as new as what was written of it.
type account struct {
	claims  map[string]entry[*corev1.PersistentVolumeClaim]
	volumes map[string]entry[*corev1.PersistentVolume]
}

type entry[T metav1.Object] struct {
	obj     T
	written bool
}

func newAccount() account {
	return account{claims: map[string]entry[*corev1.PersistentVolumeClaim]{}, volumes: map[string]entry[*corev1.PersistentVolume]{}}
}

// stands reports whether an entry is to be taken for the object that the informer has.
func (e entry[T]) stands(have T) bool {
	now, then := version(have), version(e.obj)
	if e.written {
		return now < then
	}
	return now <= then
}

// version is an object's resource version; 0 if it is none.
func version(obj metav1.Object) uint64 {
	n, _ := strconv.ParseUint(obj.GetResourceVersion(), 10, 64)
	return n
}

// over returns what stands for have, and drops the entry when it does not stand any more.
func over[T metav1.Object](entries map[string]entry[T], key string, have T) T {
	e, ok := entries[key]
	if !ok {
		return have
	}
	if !e.stands(have) {
		delete(entries, key)
		return have
	}
	return e.obj
}

// claim returns a claim as it will be.
func (b *Binding) claim(namespace, name string) (*corev1.PersistentVolumeClaim, bool) {
	have, ok := b.see.Claim(namespace, name)
	if !ok {
		return nil, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return over(b.mu.given.claims, namespace+"/"+name, have), true
}

// volume returns a volume as it will be.
func (b *Binding) volume(name string) (*corev1.PersistentVolume, bool) {
	have, ok := b.see.Volume(name)
	if !ok {
		return nil, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return over(b.mu.given.volumes, name, have), true
}

// offered returns the volumes of a class as they will be.
func (b *Binding) offered(class string) []*corev1.PersistentVolume {
	list := b.see.OfClass(class)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.given.volumes) > 0 {
		for i, pv := range list {
			list[i] = over(b.mu.given.volumes, pv.Name, pv)
		}
	}
	return list
}
