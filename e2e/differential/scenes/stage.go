package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

type object = map[string]any
type list = []any

// stage is where a scene plays on one side: a namespace with nodes of its own.
type stage struct {
	side  *side
	scene scene
	ns    string
	self  *regexp.Regexp // ns as a word

	mu    sync.Mutex
	last  time.Time         // of the last change
	names map[string]string // of all that got a name by chance, by that name
	notes []string
	nodes map[string]object // the last status that mattered, by name
	lost  map[string]bool   // nodes that are silent
	begun map[types.UID]bool
	ips   int
}

func newStage(s *side, sc scene) *stage {
	ns := fmt.Sprintf("scene-%d", sc.seed)
	return &stage{side: s, scene: sc, ns: ns, self: regexp.MustCompile(regexp.QuoteMeta(ns) + `\b`), last: time.Now(), names: map[string]string{}, nodes: map[string]object{}, lost: map[string]bool{}, begun: map[types.UID]bool{}}
}

// note keeps what a step was told, which is compared too.
func (st *stage) note(format string, args ...any) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.notes = append(st.notes, fmt.Sprintf(format, args...))
}

func (st *stage) saw(_ string, obj *unstructured.Unstructured) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.last = time.Now()
	if by := obj.GetGenerateName(); by != "" && suffix.MatchString(obj.GetName()) {
		st.names[obj.GetName()] = by + "~"
	}
}

// touch notes that something was done of which the views may know nothing yet.
func (st *stage) touch() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.last = time.Now()
}

// changed reports whether more of a node has changed than when it was last heard of.
func (st *stage) changed(obj *unstructured.Unstructured) bool {
	now := object{"spec": obj.Object["spec"], "labels": obj.GetLabels(), "ready": readyOf(obj), "gone": obj.GetDeletionTimestamp() != nil}
	st.mu.Lock()
	defer st.mu.Unlock()
	before := st.nodes[obj.GetName()]
	st.nodes[obj.GetName()] = now
	return before == nil || text(before) != text(now)
}

func readyOf(obj *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		if c, _ := c.(object); c["type"] == "Ready" {
			return fmt.Sprint(c["status"])
		}
	}
	return ""
}

func text(o any) string {
	data, _ := json.Marshal(o)
	return string(data)
}

// set makes the namespace and its nodes.
func (st *stage) set(ctx context.Context) error {
	if _, err := st.side.of("namespaces", "").Create(ctx, &unstructured.Unstructured{Object: object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": st.ns}}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	for i := range nodes {
		if err := st.join(ctx, i); err != nil {
			return err
		}
	}
	return st.until(ctx, "the account default", func() bool { return len(st.side.list(st, "serviceaccounts")) > 0 })
}

// clear removes what a scene leaves. What still hangs on finalizers is let go.
func (st *stage) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, resource := range []string{"persistentvolumes", "clusterroles", "nodes"} {
		for _, o := range st.side.list(st, resource) {
			_ = st.side.of(resource, "").Delete(ctx, o.GetName(), metav1.DeleteOptions{})
			if len(o.GetFinalizers()) > 0 {
				_, _ = st.side.of(resource, "").Patch(ctx, o.GetName(), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			}
		}
	}
	_ = st.side.of("namespaces", "").Delete(ctx, st.ns, metav1.DeleteOptions{})
	_ = st.until(ctx, "the end of the namespace", func() bool {
		for _, resource := range []string{"configmaps", "pods"} {
			for _, o := range st.side.list(st, resource) {
				if resource == "configmaps" && o.GetDeletionTimestamp() != nil && len(o.GetFinalizers()) > 0 {
					_, _ = st.side.of(resource, st.ns).Patch(ctx, o.GetName(), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
				}
				if resource == "pods" && o.GetDeletionTimestamp() != nil {
					now := int64(0)
					_ = st.side.of(resource, st.ns).Delete(ctx, o.GetName(), metav1.DeleteOptions{GracePeriodSeconds: &now})
				}
			}
		}
		return len(st.side.list(st, "namespaces")) == 0
	})
	st.side.mu.Lock()
	delete(st.side.stages, st.ns)
	st.side.mu.Unlock()
}

// longest is how long a condition may take to come.
const longest = 100 * time.Second

// until waits for a condition; that it did not come is an error, which is compared.
func (st *stage) until(ctx context.Context, what string, met func() bool) error {
	for end := time.Now().Add(longest); time.Now().Before(end); {
		if met() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not come", what)
}

// settle waits until nothing has changed for a while.
func (st *stage) settle(ctx context.Context) {
	_ = st.until(ctx, "rest", func() bool {
		st.mu.Lock()
		defer st.mu.Unlock()
		return time.Since(st.last) > quiet
	})
}

// get is an object as the view has it; nil when it is gone.
func (st *stage) get(resource, name string) object {
	for _, o := range st.side.list(st, resource) {
		if o.GetName() == name {
			return o.Object
		}
	}
	return nil
}

// make creates an object.
func (st *stage) make(ctx context.Context, resource string, o object) error {
	gvr := resources[resource]
	o["apiVersion"] = gvr.GroupVersion().String()
	o["kind"] = kindOf[resource]
	var named object
	_ = json.Unmarshal([]byte(strings.ReplaceAll(text(o), "SCENE", st.ns)), &named)
	_, err := st.side.of(resource, st.ns).Create(ctx, &unstructured.Unstructured{Object: named}, metav1.CreateOptions{})
	return st.told(err)
}

// patch merges a change into an object.
func (st *stage) patch(ctx context.Context, resource, name, change string, sub ...string) error {
	_, err := st.side.of(resource, st.ns).Patch(ctx, strings.ReplaceAll(name, "SCENE", st.ns), types.MergePatchType, []byte(strings.ReplaceAll(change, "SCENE", st.ns)), metav1.PatchOptions{}, sub...)
	return st.told(err)
}

// remove deletes an object.
func (st *stage) remove(ctx context.Context, resource, name string, how metav1.DeletionPropagation) error {
	return st.told(st.side.of(resource, st.ns).Delete(ctx, strings.ReplaceAll(name, "SCENE", st.ns), metav1.DeleteOptions{PropagationPolicy: &how}))
}

// evict asks for the eviction of a pod.
func (st *stage) evict(ctx context.Context, name string) error {
	_, err := st.side.of("pods", st.ns).Create(ctx, &unstructured.Unstructured{Object: object{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": object{"name": name, "namespace": st.ns}}}, metav1.CreateOptions{}, "eviction")
	return st.told(err)
}

// told keeps the reason of an answer, which is what is compared of an error.
func (st *stage) told(err error) error {
	if err == nil {
		return nil
	}
	if status, ok := err.(apierrors.APIStatus); ok {
		return fmt.Errorf("%d %s %s", status.Status().Code, status.Status().Reason, st.alikeText(status.Status().Message))
	}
	return err
}
