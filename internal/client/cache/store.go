package cache

import "sampan.dev/internal/api"

// key names an object of a resource.
type key struct{ namespace, name string }

func keyOf(o api.Object) key { return key{o.GetNamespace(), o.GetName()} }

// store is the objects of an informer with their indexes. It has no lock of its own.
type store[T api.Object] struct {
	spaces  map[string]map[string]T
	count   int
	indexes map[string]*index[T]
}

type index[T api.Object] struct {
	fn     IndexFunc[T]
	values map[string]map[key]T
}

func newStore[T api.Object]() store[T] {
	return store[T]{spaces: map[string]map[string]T{}, indexes: map[string]*index[T]{}}
}

func (s *store[T]) addIndex(name string, fn IndexFunc[T]) {
	if s.indexes[name] != nil {
		return
	}
	ix := &index[T]{fn: fn, values: map[string]map[key]T{}}
	s.indexes[name] = ix
	for _, obj := range s.list("") {
		ix.add(obj)
	}
}

func (s *store[T]) get(k key) (T, bool) {
	obj, ok := s.spaces[k.namespace][k.name]
	return obj, ok
}

func (s *store[T]) list(namespace string) []T {
	if namespace != "" {
		out := make([]T, 0, len(s.spaces[namespace]))
		for _, obj := range s.spaces[namespace] {
			out = append(out, obj)
		}
		return out
	}
	out := make([]T, 0, s.count)
	for _, space := range s.spaces {
		for _, obj := range space {
			out = append(out, obj)
		}
	}
	return out
}

func (s *store[T]) byIndex(name, value string) []T {
	ix := s.indexes[name]
	if ix == nil {
		panic("cache: no index " + name) // a caller that forgot AddIndex
	}
	out := make([]T, 0, len(ix.values[value]))
	for _, obj := range ix.values[value] {
		out = append(out, obj)
	}
	return out
}

// set puts obj in and returns what was there.
func (s *store[T]) set(obj T) (old T, had bool) {
	k := keyOf(obj)
	space := s.spaces[k.namespace]
	if space == nil {
		space = map[string]T{}
		s.spaces[k.namespace] = space
	}
	if old, had = space[k.name]; !had {
		s.count++
	}
	space[k.name] = obj
	for _, ix := range s.indexes {
		if had {
			ix.remove(old)
		}
		ix.add(obj)
	}
	return old, had
}

// remove takes k out and returns what was there.
func (s *store[T]) remove(k key) (old T, had bool) {
	space := s.spaces[k.namespace]
	if old, had = space[k.name]; !had {
		return old, false
	}
	s.count--
	if delete(space, k.name); len(space) == 0 {
		delete(s.spaces, k.namespace)
	}
	for _, ix := range s.indexes {
		ix.remove(old)
	}
	return old, true
}

func (ix *index[T]) add(obj T) {
	for _, v := range ix.fn(obj) {
		m := ix.values[v]
		if m == nil {
			m = map[key]T{}
			ix.values[v] = m
		}
		m[keyOf(obj)] = obj
	}
}

func (ix *index[T]) remove(obj T) {
	for _, v := range ix.fn(obj) {
		m := ix.values[v]
		if delete(m, keyOf(obj)); len(m) == 0 {
			delete(ix.values, v)
		}
	}
}
