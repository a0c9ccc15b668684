package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

const (
	annAttachDetach = "volumes.kubernetes.io/controller-managed-attach-detach"
	annCRISocket    = "kubeadm.alpha.kubernetes.io/cri-socket"
)

// ownLabels are the node labels that describe the machine.
var ownLabels = []string{corev1.LabelHostname, corev1.LabelOSStable, corev1.LabelArchStable, "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
	corev1.LabelInstanceTypeStable, corev1.LabelTopologyZone, corev1.LabelTopologyRegion}

// runNode registers the node and keeps its status and its own labels as they should be: computed every StatusEvery and whenever
// somebody changes the node, written when the hub has something else or ReportEvery has passed.
func (k *Kubelet) runNode(ctx context.Context) {
	if k.cfg.Register {
		if !k.register(ctx) {
			return
		}
	}
	k.events.Node(corev1.EventTypeNormal, "Starting", "Starting kubelet.")
	k.tellRegistered()
	kick := make(chan struct{}, 1)
	poke := func() {
		select {
		case kick <- struct{}{}:
		default:
		}
	}
	var cidr string
	k.node.Handle(cache.Handler[*corev1.Node]{
		Add: func(n *corev1.Node) { poke() },
		Update: func(old, n *corev1.Node) {
			if n.Spec.PodCIDR != old.Spec.PodCIDR || n.UID != old.UID || !maps.Equal(n.Labels, old.Labels) || statusDiffers(&old.Status, &n.Status) {
				poke()
			}
			if n.Spec.Unschedulable != old.Spec.Unschedulable {
				reason := "NodeSchedulable"
				if n.Spec.Unschedulable {
					reason = "NodeNotSchedulable"
				}
				k.nodeEvent(reason)
			}
		},
	})
	var reported time.Time
	errDelay := 100 * time.Millisecond
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-kick:
		case <-k.moved:
			if !k.follow() {
				continue
			}
		case <-t.C:
		}
		n, err := k.getNode(ctx)
		if err == nil {
			if n.Spec.PodCIDR != "" && n.Spec.PodCIDR != cidr {
				cctx, cancel := context.WithTimeout(ctx, lookEvery)
				if err := k.rt.SetPodCIDR(cctx, n.Spec.PodCIDR); err == nil {
					cidr = n.Spec.PodCIDR
				}
				cancel()
			}
			if k.tooEarly(ctx, n) {
				t.Reset(50 * time.Millisecond)
				continue
			}
			var written bool
			if written, err = k.report(ctx, n, time.Since(reported) >= k.cfg.ReportEvery); written {
				reported = time.Now()
			}
			if err == nil && k.cfg.Register {
				err = k.reconcileNode(ctx, n, k.identity())
			}
		}
		wait := k.cfg.StatusEvery
		if err != nil && ctx.Err() == nil {
			k.cfg.Log.Debug("node status not reported", "error", err)
			wait = min(errDelay, wait)
			errDelay = min(2*errDelay, 10*time.Second)
		} else {
			errDelay = 100 * time.Millisecond
			wait = k.health.due(time.Now(), wait)
			if !k.ready() { // a node that is about to become ready is looked at more often
				wait = min(wait, time.Second)
				if time.Since(k.began) < startIn { // starting: the pod network is about to announce itself
					wait = min(wait, 50*time.Millisecond)
				}
			}
		}
		t.Reset(wait)
	}
}

// getNode reads the node from the hub, within the bound of a heartbeat.
func (k *Kubelet) getNode(ctx context.Context) (*corev1.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, heartbeatLimit)
	defer cancel()
	return client.Get[*corev1.Node](ctx, k.cfg.Door, client.Nodes, "", k.cfg.NodeName)
}

// startIn is how long the runtime and its network may take to come up beside a kubelet that has just started.
const startIn = 10 * time.Second

// tooEarly tells whether a kubelet that has just started would call a node not ready that was Ready when its last run ended:
// the runtime and the pod network may be starting too, and a wrong word would taint the node and its pods' endpoints.
func (k *Kubelet) tooEarly(ctx context.Context, n *corev1.Node) bool {
	if time.Since(k.began) >= startIn {
		return false
	}
	was := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	if !was {
		return false
	}
	st := k.lookRuntime(ctx)
	return st == nil || !st.Ready || !st.NetworkReady
}

func (k *Kubelet) ready() bool { return k.netReady.Load().(string) == "" }

func (k *Kubelet) nodeEvent(reason string) {
	k.events.Node(corev1.EventTypeNormal, reason, fmt.Sprintf("Node %s status is now: %s", k.cfg.NodeName, reason))
}

// report writes the node's status if it differs from n's, or if it is due. It tells of conditions that changed.
func (k *Kubelet) report(ctx context.Context, n *corev1.Node, due bool) (bool, error) {
	next := n.DeepCopy()
	k.nodeStatus(ctx, next)
	if !due && !statusDiffers(&n.Status, &next.Status) {
		return false, nil
	}
	if err := k.patchNode(ctx, n, next); err != nil {
		return false, err
	}
	k.tellConditions(n.Status.Conditions, next.Status.Conditions)
	return true, nil
}

// statusDiffers compares statuses but for heartbeat times.
func statusDiffers(a, b *corev1.NodeStatus) bool {
	strip := func(s *corev1.NodeStatus) *corev1.NodeStatus {
		s = s.DeepCopy()
		for i := range s.Conditions {
			s.Conditions[i].LastHeartbeatTime = metav1.Time{}
		}
		return s
	}
	return !equality.Semantic.DeepEqual(strip(a), strip(b))
}

func (k *Kubelet) patchNode(ctx context.Context, old, next *corev1.Node) error {
	before, err := json.Marshal(corev1.Node{Status: old.Status})
	if err != nil {
		return err
	}
	after, err := json.Marshal(corev1.Node{Status: next.Status})
	if err != nil {
		return err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Node{})
	if err != nil || string(patch) == "{}" {
		return err
	}
	// Addresses merge by type, which would mix old and new ones; upstream replaces them in whole, too.
	if !equality.Semantic.DeepEqual(old.Status.Addresses, next.Status.Addresses) {
		if patch, err = replaceAddresses(patch, next.Status.Addresses); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, heartbeatLimit)
	defer cancel()
	_, err = k.cfg.Door.Patch(ctx, client.Ref{Resource: client.Nodes, Name: k.cfg.NodeName, Subresource: "status"}, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

func replaceAddresses(patch []byte, addresses []corev1.NodeAddress) ([]byte, error) {
	var m map[string]any
	if err := json.Unmarshal(patch, &m); err != nil {
		return nil, err
	}
	status, _ := m["status"].(map[string]any)
	if status == nil {
		return patch, nil
	}
	list := []any{}
	for _, a := range addresses {
		list = append(list, map[string]any{"type": a.Type, "address": a.Address})
	}
	delete(status, "$setElementOrder/addresses")
	status["addresses"] = append(list, map[string]any{"$patch": "replace"})
	return json.Marshal(m)
}

// register creates the node, or brings an existing one's labels, annotations and taints into line.
func (k *Kubelet) register(ctx context.Context) bool {
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 7*time.Second) {
		err := k.tryRegister(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if delay > time.Second {
			k.cfg.Log.Warn("node not registered", "error", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(delay):
		}
	}
}

func (k *Kubelet) tryRegister(ctx context.Context) error {
	n := k.initialNode(ctx)
	_, err := client.Create(ctx, k.cfg.Door, client.Nodes, n)
	if err == nil {
		k.cfg.Log.Info("registered node")
		k.registered = n
		return nil
	}
	if !apierrors.IsAlreadyExists(err) && !apierrors.IsForbidden(err) {
		return err
	}
	old, gerr := client.Get[*corev1.Node](ctx, k.cfg.Door, client.Nodes, "", k.cfg.NodeName)
	if gerr != nil {
		return err
	}
	return k.reconcileNode(ctx, old, n)
}

// reconcileNode brings the labels and annotations of old that are the kubelet's to say into line with want. Others of
// --node-labels count at registration only: what an administrator has changed since stays.
func (k *Kubelet) reconcileNode(ctx context.Context, old, want *corev1.Node) error {
	labels := missing(old.Labels, want.Labels, ownLabels)
	annotations := missing(old.Annotations, want.Annotations, []string{annAttachDetach, annCRISocket})
	if len(labels) == 0 && len(annotations) == 0 {
		return nil
	}
	_, err := client.MergePatch(ctx, k.cfg.Door, client.Ref{Resource: client.Nodes, Name: k.cfg.NodeName},
		map[string]any{"metadata": map[string]any{"labels": labels, "annotations": annotations}})
	return err
}

// missing is what of want's keys have does not say.
func missing(have, want map[string]string, keys []string) map[string]string {
	out := map[string]string{}
	for _, key := range keys {
		v, wanted := want[key]
		if is, ok := have[key]; wanted && (!ok || is != v) {
			out[key] = v
		}
	}
	return out
}

// identity is what the node says of itself apart from its state: name, labels and annotations.
func (k *Kubelet) identity() *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.cfg.NodeName,
		Labels: map[string]string{
			corev1.LabelHostname: k.cfg.Hostname, corev1.LabelOSStable: "linux", corev1.LabelArchStable: goArch,
			"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": goArch,
		},
		Annotations: map[string]string{annAttachDetach: "true"},
	}}
	if k.cfg.RuntimeEndpoint != "" {
		n.Annotations[annCRISocket] = k.cfg.RuntimeEndpoint
	}
	maps.Copy(n.Labels, k.cfg.Labels)
	maps.Copy(n.Annotations, k.cfg.Annotations)
	return n
}

// initialNode is the node as it is registered: everything at once, capacity too.
func (k *Kubelet) initialNode(ctx context.Context) *corev1.Node {
	n := k.identity()
	n.Spec.Taints = slices.Clone(k.cfg.Taints)
	n.Spec.Unschedulable = k.cfg.Unschedulable
	if k.cfg.Unschedulable {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	n.Spec.ProviderID = k.cfg.ProviderID
	if k.cfg.CloudProvider == "external" {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "node.cloudprovider.kubernetes.io/uninitialized", Value: "true", Effect: corev1.TaintEffectNoSchedule})
		if len(k.cfg.NodeIPs) > 0 {
			n.Annotations["alpha.kubernetes.io/provided-node-ip"] = joinIPs(k.cfg.NodeIPs)
		}
	}
	k.nodeStatus(ctx, n)
	return n
}
