package unbuilt

import (
	"sampan.dev/internal/api"

	networkingv1 "k8s.io/api/networking/v1"
	resourcev1 "k8s.io/api/resource/v1"
)

// objectGap is a part of another kind, or a subresource, that nobody acts upon.
type objectGap struct {
	Feature, Effect string
	sub             string // the subresource through which it is asked for
	// uses returns the paths where obj asks for it.
	uses func(obj api.Object) []string
}

// kindGap is a whole kind that nobody acts upon: the controller of T is not built.
func kindGap[T api.Object](feature, effect string) objectGap {
	return objectGap{Feature: feature, Effect: effect, uses: func(obj api.Object) []string {
		_, ok := obj.(T)
		return at(ok, "spec")
	}}
}

// objectGaps is the literal list for everything but pod specs.
var objectGaps = []objectGap{
	kindGap[*networkingv1.NetworkPolicy]("network policies", "traffic flows as if there were none"),
	{
		Feature: "extended resources of device classes", Effect: "pods that ask for it find no node",
		uses: func(obj api.Object) []string {
			class, ok := obj.(*resourcev1.DeviceClass)
			return at(ok && class.Spec.ExtendedResourceName != nil, "spec.extendedResourceName")
		},
	},
}

// at returns the one path if on.
func at(on bool, path string) []string {
	if !on {
		return nil
	}
	return []string{path}
}
