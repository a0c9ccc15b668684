package unbuilt

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Reason of the events that tell of a gap.
const Reason = "NotImplemented"

// Actor is the component that would act.
type Actor string

// The actors that read pods.
const (
	Scheduler Actor = "scheduler"
	Kubelet   Actor = "kubelet"
)

// PodGap is a part of a pod that nobody acts upon.
type PodGap struct {
	Feature string // as documentation calls it: "user namespaces"
	Effect  string // what happens instead, as a clause: "the pod is placed as if it asked for none"
	Actor   Actor
	// Fields are the fields that the actor does not read, as "PodSpec.HostUsers". Those of which another part is built
	// are not named.
	Fields []string
	// uses returns where the pod asks for it; path is the spec's. Nothing is used by what is unset or says no.
	uses func(path *field.Path, spec *corev1.PodSpec) []*field.Path
}

// Finding is one place where a gap is asked for.
type Finding struct {
	Gap  *PodGap
	Path *field.Path
}

// String is the sentence of a Warning header or an event.
func (f Finding) String() string {
	return sentence(f.Path.String(), f.Gap.Feature, f.Gap.Effect)
}

func sentence(where, feature, effect string) string {
	return where + ": " + feature + " not implemented yet; " + effect
}

// InPod returns what a pod's spec asks for that nobody acts upon; path is the spec's own. It allocates nothing for a pod that
// asks for none.
func InPod(path *field.Path, spec *corev1.PodSpec) []Finding {
	var out []Finding
	for i := range podGaps {
		g := &podGaps[i]
		for _, p := range g.uses(path, spec) {
			out = append(out, Finding{g, p})
		}
	}
	return out
}

// ForActor returns the findings in a pod that are one actor's.
func ForActor(spec *corev1.PodSpec, actor Actor) []Finding {
	var out []Finding
	for _, f := range InPod(specPath, spec) {
		if f.Gap.Actor == actor {
			out = append(out, f)
		}
	}
	return out
}

var specPath = field.NewPath("spec")

// Warnings are the sentences for a write of obj through subresource sub ("" for the main resource); old is what it replaces, nil on create. What old
// asked for already is not told again.
func Warnings(obj, old api.Object, sub string) []string {
	now := sentences(obj, sub)
	if len(now) == 0 || old == nil || sub != "" {
		return now
	}
	had := map[string]bool{}
	for _, s := range sentences(old, sub) {
		had[s] = true
	}
	out := now[:0]
	for _, s := range now {
		if !had[s] {
			out = append(out, s)
		}
	}
	return out
}

func sentences(obj api.Object, sub string) []string {
	var out []string
	for i := range objectGaps {
		if g := &objectGaps[i]; g.sub == sub {
			for _, where := range g.uses(obj) {
				out = append(out, sentence(where, g.Feature, g.Effect))
			}
		}
	}
	if path, spec := core.PodSpec(obj); spec != nil && sub == "" {
		for _, f := range InPod(path, spec) {
			out = append(out, f.String())
		}
	}
	return out
}

// Resources are the plurals whose objects can have gaps, so that admission looks at no others.
var Resources = map[string]bool{
	"pods": true, "replicationcontrollers": true, "replicasets": true, "deployments": true,
	"jobs": true, "cronjobs": true, "statefulsets": true, "daemonsets": true,
	"networkpolicies": true, "podtemplates": true, "deviceclasses": true,
}

// PodFields are the fields of a pod's spec that nobody reads, as "Type.Field".
func PodFields() []string {
	var out []string
	for i := range podGaps {
		out = append(out, podGaps[i].Fields...)
	}
	return out
}
