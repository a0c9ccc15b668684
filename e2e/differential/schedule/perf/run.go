package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// run is one case at one size. What a step has begun beside the others ends with ctx.
type run struct {
	ctx       context.Context
	cs        kubernetes.Interface
	scheduler string
	pid       int
	size      Size
	scale     float64
	beside    sync.WaitGroup
	step      int
	pods      *pods

	measured int
	seconds  float64
	cpu      float64 // seconds of the scheduler's
}

// number reads a step's count: a parameter of the size, scaled, or a number as it is.
func (r *run) number(s string) int {
	if n, err := strconv.Atoi(s); err == nil || s == "" {
		return n
	}
	n := r.size.Params[s]
	if n == 0 || s == "features" || s == "spaces" {
		return n
	}
	return max(1, int(math.Round(float64(n)*r.scale)))
}

// all runs a case's steps one after the other.
func (r *run) all(c Case) error {
	for i, st := range c.Steps {
		r.step = i
		if err := r.do(st); err != nil {
			return fmt.Errorf("step %d, %s: %w", i, st.Do, err)
		}
	}
	return nil
}

func (r *run) do(st Step) error {
	space := st.In
	if space == "" {
		space = fmt.Sprint("step-", r.step)
	}
	switch st.Do {
	case "nodes":
		return r.nodes(st)
	case "spaces":
		for i := range r.number(st.N) {
			if err := r.space(fmt.Sprint(st.In, "-", i)); err != nil {
				return err
			}
		}
	case "service":
		if err := r.space(space); err != nil {
			return err
		}
		_, err := r.cs.CoreV1().Services(space).Create(r.ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "service"},
			Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "scheduler-perf"}, Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
		return err
	case "pods", "measure":
		return r.make(st, space)
	case "attempted":
		return r.pods.wait(r.ctx, func() bool { return r.pods.untried() == 0 })
	case "delete":
		r.beside.Go(func() { r.delete(space, st.Rate) })
	case "churn":
		if st.In != "" {
			if err := r.space(st.In); err != nil {
				return err
			}
		}
		r.beside.Go(func() { r.churn(st, space) })
		return r.space(space)
	default:
		return fmt.Errorf("no such step")
	}
	return nil
}

// each runs f for 0…n-1, many at a time, and returns the first error.
func each(n int, f func(i int) error) error {
	var next atomic.Int64
	var first atomic.Pointer[error]
	var running sync.WaitGroup
	for range min(n, 32) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && first.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	running.Wait()
	if err := first.Load(); err != nil {
		return *err
	}
	return nil
}

func (r *run) space(name string) error {
	_, err := r.cs.CoreV1().Namespaces().Create(r.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "devops"}}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (r *run) nodes(st Step) error {
	features := make([]string, r.number(st.Feature))
	for i := range features {
		features[i] = fmt.Sprintf("Feature%03d", i)
	}
	return each(r.number(st.N), func(i int) error {
		n := newNode(st.Kind, fmt.Sprintf("%s-%d-%05d", st.Kind, r.step, i))
		if len(st.Zones) > 0 {
			n.Labels[zone] = st.Zones[i%len(st.Zones)]
		}
		n.Status.DeclaredFeatures = features
		if _, err := r.cs.CoreV1().Nodes().Create(r.ctx, n, metav1.CreateOptions{}); err != nil || st.Attach == "" {
			return err
		}
		count := int32(r.number(st.Attach))
		_, err := r.cs.StorageV1().CSINodes().Create(r.ctx, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: n.Name},
			Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{{Name: "ebs.csi.aws.com", NodeID: n.Name, Allocatable: &storagev1.VolumeNodeResources{Count: &count}}}}}, metav1.CreateOptions{})
		return err
	})
}

// make makes pods and waits until they are bound. Where time is taken it begins with the first request.
func (r *run) make(st Step, space string) error {
	sets := []string{space}
	if st.Sets != "" {
		sets = nil
		for i := range r.number(st.Sets) {
			sets = append(sets, fmt.Sprint(st.In, "-", i))
		}
	}
	n := r.number(st.N)
	if n == 0 {
		return nil
	}
	for _, space := range sets {
		if err := r.space(space); err != nil {
			return err
		}
	}
	began, used := time.Now(), cpu(r.pid)
	prefix := fmt.Sprintf("%d-", r.step)
	bound := r.pods.bound(prefix)
	err := each(n*len(sets), func(i int) error {
		space, name := sets[i%len(sets)], fmt.Sprintf("%s%06d", prefix, i)
		p := newPod(st.Kind, space, name, r.scheduler)
		if st.Volume != "" {
			if err := r.volume(st.Volume, p); err != nil {
				return err
			}
		}
		_, err := r.cs.CoreV1().Pods(space).Create(r.ctx, p, metav1.CreateOptions{})
		return err
	})
	if err != nil || st.NoWait {
		return err
	}
	want := bound + n*len(sets)
	if err := r.pods.wait(r.ctx, func() bool { return r.pods.bound(prefix) >= want }); err != nil {
		return fmt.Errorf("%d of %d pods bound: %w", r.pods.bound(prefix), want, err)
	}
	if st.Do == "measure" {
		r.measured, r.seconds, r.cpu = n, time.Since(began).Seconds(), cpu(r.pid)-used
	}
	return nil
}

// volume makes a pod's volume and claim, which are bound.
func (r *run) volume(kind string, p *corev1.Pod) error {
	v, c := newVolume(kind, p.Namespace, p.Name)
	c, err := r.cs.CoreV1().PersistentVolumeClaims(p.Namespace).Create(r.ctx, c, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	v.Spec.ClaimRef.UID = c.UID
	if _, err = r.cs.CoreV1().PersistentVolumes().Create(r.ctx, v, metav1.CreateOptions{}); err != nil {
		return err
	}
	c.Status.Phase = corev1.ClaimBound
	_, err = r.cs.CoreV1().PersistentVolumeClaims(p.Namespace).UpdateStatus(r.ctx, c, metav1.UpdateOptions{})
	p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c.Name}}}}
	return err
}

// delete deletes a namespace's pods, so many a second.
func (r *run) delete(space string, rate int) {
	list, err := r.cs.CoreV1().Pods(space).List(r.ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for _, p := range list.Items {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
			_ = r.cs.CoreV1().Pods(space).Delete(r.ctx, p.Name, metav1.DeleteOptions{})
		}
	}
}

// churn makes objects round by round until the case ends.
func (r *run) churn(st Step, space string) {
	tick := time.NewTicker(time.Duration(st.Millis) * time.Millisecond)
	defer tick.Stop()
	zero := metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}
	for round := 0; ; round++ {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		for _, kind := range strings.Split(st.Kind, ",") {
			for i := range max(1, r.number(st.N)) {
				name := fmt.Sprintf("churn-%d-%d", round, i)
				last := fmt.Sprintf("churn-%d-%d", round-1, i)
				again := st.Again && round > 0
				switch kind {
				case "node":
					_, _ = r.cs.CoreV1().Nodes().Create(r.ctx, newNode("empty", name), metav1.CreateOptions{})
					if again {
						_ = r.cs.CoreV1().Nodes().Delete(r.ctx, last, metav1.DeleteOptions{})
					}
				case "service":
					_, _ = r.cs.CoreV1().Services(space).Create(r.ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name},
						Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "foo"}, Ports: []corev1.ServicePort{{Port: 8080}}}}, metav1.CreateOptions{})
					if again {
						_ = r.cs.CoreV1().Services(space).Delete(r.ctx, last, metav1.DeleteOptions{})
					}
				default:
					_, _ = r.cs.CoreV1().Pods(space).Create(r.ctx, newPod(kind, space, name, r.scheduler), metav1.CreateOptions{})
					if again {
						_ = r.cs.CoreV1().Pods(space).Delete(r.ctx, last, zero)
					}
				}
			}
		}
	}
}

// clean removes everything that a case has made; it is the kubelets of all nodes, too, which let pods go that are being deleted.
func (r *run) clean() error {
	ctx, zero := context.WithoutCancel(r.ctx), metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}
	spaces, err := r.cs.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, s := range spaces.Items {
		list, err := r.cs.CoreV1().Pods(s.Name).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, p := range list.Items {
			if len(p.Finalizers) > 0 {
				_, _ = r.cs.CoreV1().Pods(s.Name).Patch(ctx, p.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			}
		}
		for _, err := range []error{
			r.cs.CoreV1().Pods(s.Name).DeleteCollection(ctx, zero, metav1.ListOptions{}),
			r.cs.CoreV1().PersistentVolumeClaims(s.Name).DeleteCollection(ctx, zero, metav1.ListOptions{}),
		} {
			if err != nil {
				return err
			}
		}
		services, err := r.cs.CoreV1().Services(s.Name).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, v := range services.Items {
			if v.Name != "kubernetes" {
				_ = r.cs.CoreV1().Services(s.Name).Delete(ctx, v.Name, zero)
			}
		}
	}
	for _, err := range []error{
		r.cs.CoreV1().PersistentVolumes().DeleteCollection(ctx, zero, metav1.ListOptions{}),
		r.cs.StorageV1().CSINodes().DeleteCollection(ctx, zero, metav1.ListOptions{}),
		r.cs.CoreV1().Nodes().DeleteCollection(ctx, zero, metav1.ListOptions{}),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}
