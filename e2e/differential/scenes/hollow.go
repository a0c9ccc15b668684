package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// nodes is how many a scene begins with.
const nodes = 3

func (st *stage) nodeName(i int) string { return fmt.Sprintf("%s.n%d", st.ns, i) }

// join registers a hollow node, and keeps it alive until it is lost or the scene ends.
func (st *stage) join(ctx context.Context, i int) error {
	name := st.nodeName(i)
	capacity := object{"cpu": "4", "memory": "8Gi", "pods": "30", "ephemeral-storage": "50Gi"}
	n := object{"apiVersion": "v1", "kind": "Node", "metadata": object{"name": name, "labels": object{"scene": st.ns, "kubernetes.io/hostname": name, "n": strconv.Itoa(i)}},
		"spec":   object{"taints": list{object{"key": "scene", "value": st.ns, "effect": "NoSchedule"}}},
		"status": object{"capacity": capacity, "allocatable": capacity, "conditions": conditionsNow()}}
	if _, err := st.side.of("nodes", "").Create(ctx, &unstructured.Unstructured{Object: n}, metav1.CreateOptions{}); err != nil {
		return err
	}
	lease := object{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": object{"name": name, "namespace": "kube-node-lease"},
		"spec": object{"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")}}
	leases := st.side.of("leases", "kube-node-lease")
	_, _ = leases.Create(ctx, &unstructured.Unstructured{Object: lease}, metav1.CreateOptions{})
	go func() {
		defer leases.Delete(context.WithoutCancel(ctx), name, metav1.DeleteOptions{})
		for ctx.Err() == nil {
			st.mu.Lock()
			silent := st.lost[name]
			st.mu.Unlock()
			if !silent {
				_, _ = leases.Patch(ctx, name, types.MergePatchType, []byte(text(object{"spec": object{"renewTime": time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")}})), metav1.PatchOptions{})
				if got := st.get("nodes", name); got != nil && readyOf(&unstructured.Unstructured{Object: got}) == "Unknown" {
					_, _ = st.side.of("nodes", "").Patch(ctx, name, types.StrategicMergePatchType, []byte(text(object{"status": object{"conditions": conditionsNow()}})), metav1.PatchOptions{}, "status")
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
		}
	}()
	return nil
}

func conditionsNow() list {
	now := time.Now().UTC().Format(time.RFC3339)
	return list{object{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "hollow", "lastHeartbeatTime": now, "lastTransitionTime": now}}
}

// silence has a node be heard of no more, or again.
func (st *stage) silence(i int, lost bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.lost[st.nodeName(i)] = lost
}

// kubelet does for a pod what a node does. What becomes of it is said by annotations of the pod: hollow/ready "false" has it run
// without being ready, hollow/exit has it end with this status, hollow/fail has the indexes of a Job that are listed end with 1.
func (st *stage) kubelet(ctx context.Context, pod *unstructured.Unstructured) {
	node, _, _ := unstructured.NestedString(pod.Object, "spec", "nodeName")
	if node == "" {
		return
	}
	st.mu.Lock()
	silent := st.lost[node]
	key := pod.GetUID()
	if pod.GetDeletionTimestamp() != nil {
		key += "/end"
	}
	first := !st.begun[key]
	st.begun[key] = true
	st.ips++
	ip := fmt.Sprintf("10.251.%d.%d", st.ips/250, st.ips%250+1)
	st.mu.Unlock()
	if silent || !first {
		return
	}
	if pod.GetDeletionTimestamp() != nil {
		time.AfterFunc(200*time.Millisecond, func() { st.end(ctx, pod) })
		return
	}
	time.AfterFunc(100*time.Millisecond, func() { st.run(ctx, pod, ip) })
}

func (st *stage) status(ctx context.Context, pod *unstructured.Unstructured, status object) {
	_, _ = st.side.of("pods", st.ns).Patch(ctx, pod.GetName(), types.StrategicMergePatchType, []byte(text(object{"metadata": object{"uid": pod.GetUID()}, "status": status})), metav1.PatchOptions{}, "status")
}

// run starts a pod, and ends it when it is one that ends.
func (st *stage) run(ctx context.Context, pod *unstructured.Unstructured, ip string) {
	now := time.Now().UTC().Format(time.RFC3339)
	ready := "True"
	if pod.GetAnnotations()["hollow/ready"] == "false" {
		ready = "False"
	}
	containers, _, _ := unstructured.NestedSlice(pod.Object, "spec", "containers")
	statuses := func(state object, ready bool) (all list) {
		for _, c := range containers {
			c := c.(object)
			all = append(all, object{"name": c["name"], "image": c["image"], "imageID": "hollow", "ready": ready, "started": ready, "restartCount": 0, "state": state})
		}
		return all
	}
	conditions := func(ready string) (all list) {
		for _, kind := range []string{"Initialized", "PodReadyToStartContainers", "ContainersReady", "Ready"} {
			is := "True"
			if strings.HasSuffix(kind, "Ready") {
				is = ready
			}
			all = append(all, object{"type": kind, "status": is, "lastTransitionTime": now, "observedGeneration": pod.GetGeneration()})
		}
		return all
	}
	st.status(ctx, pod, object{"phase": "Running", "startTime": now, "hostIP": "10.250.0.1", "podIP": ip, "podIPs": list{object{"ip": ip}},
		"containerStatuses": statuses(object{"running": object{"startedAt": now}}, ready == "True"), "conditions": conditions(ready)})
	code, ends := pod.GetAnnotations()["hollow/exit"]
	for _, index := range strings.Split(pod.GetAnnotations()["hollow/fail"], ",") {
		if index != "" && index == pod.GetAnnotations()["batch.kubernetes.io/job-completion-index"] {
			code, ends = "1", true
		}
	}
	if !ends {
		return
	}
	time.AfterFunc(300*time.Millisecond, func() { st.exit(ctx, pod, statuses, conditions, code) })
}

func (st *stage) exit(ctx context.Context, pod *unstructured.Unstructured, statuses func(object, bool) list, conditions func(string) list, code string) {
	phase, reason, n := "Succeeded", "Completed", 0
	if code != "0" {
		phase, reason = "Failed", "Error"
		n, _ = strconv.Atoi(code)
	}
	st.status(ctx, pod, object{"phase": phase, "conditions": conditions("False"),
		"containerStatuses": statuses(object{"running": nil, "terminated": object{"exitCode": n, "reason": reason, "startedAt": time.Now().UTC().Format(time.RFC3339), "finishedAt": time.Now().UTC().Format(time.RFC3339)}}, false)})
}

// end lets go of a pod that is to be deleted; one that is not to be started again has failed then.
func (st *stage) end(ctx context.Context, pod *unstructured.Unstructured) {
	phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
	policy, _, _ := unstructured.NestedString(pod.Object, "spec", "restartPolicy")
	if policy != "Always" && (phase == "Running" || phase == "Pending") {
		st.status(ctx, pod, object{"phase": "Failed"})
	}
	now := int64(0)
	uid := pod.GetUID()
	_ = st.side.of("pods", st.ns).Delete(ctx, pod.GetName(), metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &uid}})
}
