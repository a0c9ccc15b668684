package manifests

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func compare(a, b string) int { return cmp.Compare(a, b) }

// step is one object of one file that is to be applied.
type step struct {
	file   int // in work.entries
	id     ID
	object *unstructured.Unstructured
}

// work is what has to be done to bring the cluster into line with the folder.
type work struct {
	entries []Entry // what the record will say: per file the objects that it has applied or is about to
	apply   []step  // in this order
	remove  []ID    // afterwards, in this order
}

// plan compares the files with the record. scope completes an object's ID: it fills in the namespace of one that names none.
//
// A file that could not be read keeps what it had applied. An object that two files name belongs to the first of them; the other
// file's is an error, because the two would overwrite each other for ever.
func plan(files []file, record []Entry, scope func(ID) ID) work {
	var w work
	had := map[string][]ID{}
	for _, e := range record {
		had[e.File] = e.Objects
	}
	owner := map[ID]string{}
	for _, f := range files {
		e := Entry{File: f.name}
		if f.err != nil {
			e.Errors = []string{f.err.Error()}
			e.Objects = had[f.name]
			for _, id := range e.Objects {
				owner[id.same()] = f.name
			}
		}
		for _, o := range f.objects {
			id := scope(ID{o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName()})
			if other, taken := owner[id.same()]; taken {
				e.Errors = append(e.Errors, id.String()+" stands in "+other+" already")
				continue
			}
			owner[id.same()] = f.name
			e.Objects = append(e.Objects, id)
			w.apply = append(w.apply, step{len(w.entries), id, o})
		}
		w.entries = append(w.entries, e)
	}
	for _, e := range record {
		for _, id := range e.Objects {
			if _, wanted := owner[id.same()]; !wanted {
				w.remove = append(w.remove, id)
			}
		}
	}
	slices.SortStableFunc(w.apply, func(a, b step) int { return cmp.Compare(rank(a.id), rank(b.id)) })
	slices.SortStableFunc(w.remove, func(a, b ID) int { return cmp.Compare(rank(b), rank(a)) })
	return w
}

// first are the kinds that others need: they are applied before all others, and deleted after them.
var first = []string{"Namespace", "CustomResourceDefinition", "PriorityClass", "StorageClass", "ServiceAccount", "ClusterRole", "Role",
	"ClusterRoleBinding", "RoleBinding", "Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim", "Service"}

func rank(id ID) int {
	if i := slices.Index(first, id.Kind); i >= 0 {
		return i
	}
	return len(first)
}
