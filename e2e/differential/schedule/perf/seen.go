package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// pods is what is seen of the pods by a watch. Pods that are being deleted on a node are let go, as a kubelet does it.
type pods struct {
	changed chan struct{} // has room for one: something is otherwise

	mu struct {
		sync.Mutex
		bound   map[string]int // by the prefix of names, up to the first dash
		on      map[string]bool
		untried map[string]bool
	}
}

// watch follows the pods of one scheduler until ctx ends; it returns when those that there are have been read.
func watch(ctx context.Context, cs kubernetes.Interface, scheduler string) (*pods, error) {
	p := &pods{changed: make(chan struct{}, 1)}
	p.mu.bound, p.mu.on, p.mu.untried = map[string]int{}, map[string]bool{}, map[string]bool{}
	let := func(pod *corev1.Pod) {
		if pod.DeletionTimestamp != nil && pod.Spec.NodeName != "" {
			go func() {
				_ = cs.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
			}()
		}
	}
	source := cache.NewFilteredListWatchFromClient(cs.CoreV1().RESTClient(), "pods", "", func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.schedulerName", scheduler).String()
	})
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{ListerWatcher: source, ObjectType: &corev1.Pod{}, Handler: cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { p.see(o.(*corev1.Pod)); let(o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { p.see(o.(*corev1.Pod)); let(o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if pod, ok := o.(*corev1.Pod); ok {
				p.mu.Lock()
				delete(p.mu.untried, pod.Namespace+"/"+pod.Name)
				p.mu.Unlock()
			}
		},
	}})
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("pods are not read: %w", ctx.Err())
	}
	return p, nil
}

// see takes a version of a pod.
func (p *pods) see(pod *corev1.Pod) {
	key := pod.Namespace + "/" + pod.Name
	p.mu.Lock()
	if pod.Spec.NodeName != "" && !p.mu.on[key] {
		p.mu.on[key] = true
		step, _, _ := strings.Cut(pod.Name, "-")
		p.mu.bound[step+"-"]++
	}
	tried := pod.Spec.NodeName != ""
	for _, c := range pod.Status.Conditions {
		tried = tried || c.Type == corev1.PodScheduled
	}
	if tried {
		delete(p.mu.untried, key)
	} else {
		p.mu.untried[key] = true
	}
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// bound counts the pods with a prefix that have ever got a node.
func (p *pods) bound(prefix string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.bound[prefix]
}

// untried counts the pods of which nothing has been said yet.
func (p *pods) untried() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.untried)
}

// wait waits until done, which is asked again when something has changed.
func (p *pods) wait(ctx context.Context, done func() bool) error {
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.changed:
		case <-time.After(time.Second):
		}
	}
	return nil
}
