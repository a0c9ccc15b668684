package admit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
)

// limitRanger gives containers the requests and limits that the LimitRanges of their namespace have for those that ask for none,
// and refuses pods and claims that ask for less or more than they allow. The rules and the words are upstream's
// (plugin/pkg/admission/limitranger): of a pod, creation and the resize subresource count, because nothing else can change what it
// asks for; of a claim, creation and update.
//
// It reads the LimitRanges from the hub's cache of them, which has no copy and no goroutine here. Where the cache has none, one may
// have been stored so lately that the cache does not have it yet: then the newest state is asked for, once in freshFor for each
// namespace. mu guards the times of those look-ups, and is not held during one.
type limitRanger struct {
	look lookup
	mu   struct {
		sync.Mutex
		asked map[string]time.Time // when a namespace was last asked for up to date
	}
}

const (
	freshFor   = 30 * time.Second // upstream's live lookups are kept as long
	maxAsked   = 10000            // namespaces remembered; more are forgotten together
	setByLimit = "kubernetes.io/limit-ranger"
)

func newLimitRanger(l lookup) *limitRanger {
	r := &limitRanger{look: l}
	r.mu.asked = map[string]time.Time{}
	return r
}

func (*limitRanger) Name() string { return "LimitRanger" }

func (r *limitRanger) Admit(ctx context.Context, a *Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || !limitable(a) {
		return nil
	}
	ranges, err := r.ranges(ctx, a)
	if err != nil {
		return err
	}
	for _, l := range ranges {
		applyDefaults(pod, l)
	}
	return nil
}

func (r *limitRanger) Validate(ctx context.Context, a *Attributes) error {
	if !limitable(a) {
		return nil
	}
	ranges, err := r.ranges(ctx, a)
	if err != nil {
		return err
	}
	for _, l := range ranges {
		var errs []error
		switch o := a.Object.(type) {
		case *corev1.Pod:
			errs = podExceeds(o, l)
		case *corev1.PersistentVolumeClaim:
			errs = claimExceeds(o, l)
		}
		if err := utilerrors.NewAggregate(errs); err != nil {
			return forbidden(a, "%w", err)
		}
	}
	return nil
}

// limitable reports whether a request is about something that limits apply to, and not about the end of it.
func limitable(a *Attributes) bool {
	if old, ok := a.Old.(metav1.Object); ok && old.GetDeletionTimestamp() != nil {
		return false
	}
	switch a.Object.(type) {
	case *corev1.Pod:
		return a.Operation == Create && a.Subresource == "" || a.Operation == Update && a.Subresource == "resize"
	case *corev1.PersistentVolumeClaim:
		return (a.Operation == Create || a.Operation == Update) && a.Subresource == ""
	}
	return false
}

// ranges are the LimitRanges of the request's namespace, by name.
func (r *limitRanger) ranges(ctx context.Context, a *Attributes) ([]*corev1.LimitRange, error) {
	list := func(revision string) ([]*corev1.LimitRange, error) {
		all, err := client.ListAll[*corev1.LimitRange](ctx, r.look.door, client.LimitRanges, a.Namespace, metav1.ListOptions{ResourceVersion: revision})
		if err != nil {
			return nil, forbidden(a, "unable to %s %v at this time because there was an error enforcing limit ranges", a.Operation, a.Kind.GVR())
		}
		return all, nil
	}
	all, err := list("0")
	if err != nil || len(all) > 0 || !r.stale(a.Namespace) {
		return all, err
	}
	return list("")
}

// stale reports whether the newest state of a namespace has not been asked for lately, and takes it that it will be now.
func (r *limitRanger) stale(namespace string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if at, ok := r.mu.asked[namespace]; ok && now.Sub(at) < freshFor {
		return false
	}
	if len(r.mu.asked) >= maxAsked {
		clear(r.mu.asked)
	}
	r.mu.asked[namespace] = now
	return true
}

// applyDefaults gives every container of pod what l has for those that ask for nothing, and notes in an annotation what that was.
func applyDefaults(pod *corev1.Pod, l *corev1.LimitRange) {
	var requests, limits corev1.ResourceList
	for i := range l.Spec.Limits {
		if item := &l.Spec.Limits[i]; item.Type == corev1.LimitTypeContainer {
			fill(&requests, item.DefaultRequest)
			fill(&limits, item.Default)
		}
	}
	var notes []string
	give := func(containers []corev1.Container, what string) {
		for i := range containers {
			c := &containers[i]
			setLimits, setRequests := fill(&c.Resources.Limits, limits), fill(&c.Resources.Requests, requests)
			if len(setRequests) > 0 {
				notes = append(notes, fmt.Sprintf("%s request for %s %s", strings.Join(setRequests, ", "), what, c.Name))
			}
			if len(setLimits) > 0 {
				notes = append(notes, fmt.Sprintf("%s limit for %s %s", strings.Join(setLimits, ", "), what, c.Name))
			}
		}
	}
	give(pod.Spec.Containers, "container")
	give(pod.Spec.InitContainers, "init container")
	if len(notes) == 0 {
		return
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[setByLimit] = "LimitRanger plugin set: " + strings.Join(notes, "; ")
}

// fill adds to list the resources of from that it does not have, and returns their names in order. The list that was there is
// not changed: other objects may share it.
func fill(list *corev1.ResourceList, from corev1.ResourceList) []string {
	var added []string
	for name := range from {
		if _, ok := (*list)[name]; !ok {
			added = append(added, string(name))
		}
	}
	if len(added) == 0 {
		return nil
	}
	out := make(corev1.ResourceList, len(*list)+len(added))
	maps.Copy(out, *list)
	for _, name := range added {
		out[corev1.ResourceName(name)] = from[corev1.ResourceName(name)].DeepCopy()
	}
	*list = out
	slices.Sort(added)
	return added
}
