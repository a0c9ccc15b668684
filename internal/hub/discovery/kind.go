package discovery

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// making are the verbs that a kind of which nothing is created any more no longer lists, though it answers some of them.
var making = []string{"create", "patch", "update"}

func verbsOf(k *api.Kind) []string {
	switch {
	case k.Closed != "":
		return slices.DeleteFunc(slices.Clone(k.Verbs), func(v string) bool { return slices.Contains(making, v) })
	case k.Verbs != nil:
		return k.Verbs
	}
	return api.AllVerbs
}

// subsOf are the subresources in the order of the alphabet; those of custom resources come as they are.
func subsOf(k *api.Kind) []*api.Subresource {
	out := make([]*api.Subresource, len(k.Subresources))
	for i := range k.Subresources {
		out[i] = &k.Subresources[i]
	}
	if k.Versions == nil {
		slices.SortFunc(out, func(a, b *api.Subresource) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}

// responseKind is the kind of a subresource's body; group and version are empty when they are the parent's.
func responseKind(k *api.Kind, s *api.Subresource) schema.GroupVersionKind {
	switch {
	case s.GVK.Empty():
		return schema.GroupVersionKind{Kind: k.Kind}
	case s.GVK.Group == k.Group && s.GVK.Version == k.Version:
		return schema.GroupVersionKind{Kind: s.GVK.Kind}
	}
	return s.GVK
}

// resourceList is the plain document of one group version.
func resourceList(gv schema.GroupVersion, kinds []*api.Kind) *metav1.APIResourceList {
	l := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
	for _, k := range kinds {
		r := metav1.APIResource{
			Name: k.Resource, SingularName: k.Singular, Namespaced: k.Namespaced, Kind: k.Kind, Verbs: verbsOf(k),
			ShortNames: k.ShortNames, Categories: k.Categories,
		}
		if !k.Virtual {
			r.StorageVersionHash = storageHash(k)
		}
		l.APIResources = append(l.APIResources, r)
		for _, s := range subsOf(k) {
			kind := responseKind(k, s)
			l.APIResources = append(l.APIResources, metav1.APIResource{
				Name: k.Resource + "/" + s.Name, Namespaced: k.Namespaced, Kind: kind.Kind, Group: kind.Group, Version: kind.Version, Verbs: s.Verbs,
			})
		}
	}
	return l
}

func storageHash(k *api.Kind) string {
	gvk := k.GVK()
	if k.Versions != nil {
		if !k.Versions.Served {
			return ""
		}
		gvk.Version = k.Versions.Storage
	} else if k.View != nil {
		gvk.Group, gvk.Version = k.View.Stored.Group, k.View.Stored.Version
	}
	sum := sha256.Sum256([]byte(gvk.Group + "/" + gvk.Version + "/" + gvk.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}
