package api

import (
	"sampan.dev/internal/api/group"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Scheme knows the types of every group on the list of groups ([group.All]).
var Scheme = newScheme()

// ParameterCodec decodes query parameters into option structs (PodLogOptions, ListOptions, …).
var ParameterCodec = runtime.NewParameterCodec(Scheme)

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := group.AddToScheme(s, func(*group.Group) bool { return true }); err != nil {
		panic(err) // a broken invariant of ours: two types under one name
	}
	metav1.AddToGroupVersion(s, schema.GroupVersion{Version: "v1"})
	return s
}
