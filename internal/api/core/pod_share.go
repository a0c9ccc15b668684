package core

import (
	"slices"
	"sync"
	"unique"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// sharePod lets pods that are alike share the strings and resource lists of their specs. A list of CPU and memory takes a
// kilobyte as a map, and a pod of two containers has three or four, of the same few.
func sharePod(p *corev1.Pod) {
	share(&p.Namespace)
	share(&p.GenerateName)
	for i := range own(&p.OwnerReferences) {
		o := &p.OwnerReferences[i]
		share(&o.APIVersion)
		share(&o.Kind)
		share(&o.Name)
		share(&o.UID)
	}
	for i := range own(&p.ManagedFields) {
		m := &p.ManagedFields[i]
		share(&m.Manager)
		share(&m.APIVersion)
		share(&m.FieldsType)
		share(&m.Operation)
		share(&m.Subresource)
	}
	s := &p.Spec
	for _, list := range []*[]corev1.Container{&s.InitContainers, &s.Containers} {
		for i := range own(list) {
			shareContainer(&(*list)[i])
		}
	}
	for i := range own(&s.Volumes) {
		share(&s.Volumes[i].Name)
	}
	for i := range own(&s.Tolerations) {
		t := &s.Tolerations[i]
		share(&t.Key)
		share(&t.Operator)
		share(&t.Value)
		share(&t.Effect)
	}
	share(&s.RestartPolicy)
	share(&s.DNSPolicy)
	share(&s.ServiceAccountName)
	share(&s.DeprecatedServiceAccount)
	share(&s.NodeName)
	share(&s.SchedulerName)
	share(&s.PriorityClassName)
	for i := range own(&p.Status.Conditions) {
		c := &p.Status.Conditions[i]
		share(&c.Type)
		share(&c.Status)
		share(&c.Reason)
		share(&c.Message)
	}
}

func shareContainer(c *corev1.Container) {
	share(&c.Name)
	share(&c.Image)
	for _, list := range []*[]string{&c.Command, &c.Args} {
		for i := range own(list) {
			share(&(*list)[i])
		}
	}
	for i := range own(&c.Env) {
		share(&c.Env[i].Name)
	}
	for i := range own(&c.Ports) {
		share(&c.Ports[i].Name)
		share(&c.Ports[i].Protocol)
	}
	for i := range own(&c.VolumeMounts) {
		share(&c.VolumeMounts[i].Name)
		share(&c.VolumeMounts[i].MountPath)
	}
	share(&c.TerminationMessagePath)
	share(&c.TerminationMessagePolicy)
	share(&c.ImagePullPolicy)
	shareResources(&c.Resources.Requests)
	shareResources(&c.Resources.Limits)
}

// own makes *list a list that nobody else has, and returns it: an object that was made of another one, as by a write of its status,
// has lists of that one, which others are reading.
func own[T any](list *[]T) []T {
	*list = slices.Clone(*list)
	return *list
}

// share replaces *s by an equal string that others have. unique forgets what nobody holds.
func share[T ~string](s *T) {
	if *s != "" {
		*s = unique.Make(*s).Value()
	}
}

// amounts is a resource list of CPU and memory at most, as a value.
type amounts struct {
	cpu, memory string // as they were written; "" when there is none
}

// lists are those that pods have, by what they say.
var lists struct {
	sync.Mutex
	by map[amounts]corev1.ResourceList
}

const mostLists = 4096 // then it begins anew

// shareResources does the same for the usual resource lists.
func shareResources(list *corev1.ResourceList) {
	var key amounts
	for name, q := range *list {
		switch name {
		case corev1.ResourceCPU:
			key.cpu = exactly(q)
		case corev1.ResourceMemory:
			key.memory = exactly(q)
		default:
			return
		}
	}
	if len(*list) == 0 {
		return
	}
	lists.Lock()
	defer lists.Unlock()
	if have, ok := lists.by[key]; ok {
		*list = have
		return
	}
	if lists.by == nil || len(lists.by) >= mostLists {
		lists.by = map[amounts]corev1.ResourceList{}
	}
	lists.by[key] = *list
}

// exactly is a quantity with its format: "1" and "1000m" are equal, but are not written alike.
func exactly(q resource.Quantity) string { return q.String() + string(q.Format) }
