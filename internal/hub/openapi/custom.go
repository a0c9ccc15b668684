package openapi

import (
	"slices"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// itemsOf are the paths of a kind.
func itemsOf(k *api.Kind) ([]item, error) {
	if typed(k) {
		return kindItems(k)
	}
	return customItems(k)
}

var (
	customTypes   = []string{"application/json", "application/yaml"}
	customPatches = []string{"application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"}
)

// customItems are the paths of a kind that has no Go type. Upstream describes custom resources by other code than the rest: they
// have no protobuf and no strategic merge patch, no word of watching, the scale subresource is said to be of the kind itself, and
// options are listed for reads as well, but none for the deletion of a collection besides those of the list.
func customItems(k *api.Kind) ([]item, error) {
	items, err := kindItems(k)
	if err != nil {
		return nil, err
	}
	for i := range items {
		for j := range items[i].ops {
			o := &items[i].ops[j]
			o.gvk, o.produces, o.consumes = k.GVK(), customTypes, customTypes
			switch o.action {
			case "list":
				o.answer, o.doc = listName(k), "list objects of kind "+k.Kind
			case "get":
				o.params = paramsOf(metav1.GetOptions{})
			case "patch":
				o.consumes, o.codes = customPatches, []int{200}
			case "deletecollection":
				o.body, o.params = "", paramsOf(metav1.ListOptions{})
			}
			o.params = slices.Clone(o.params)
		}
	}
	return items, nil
}
