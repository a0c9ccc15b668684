package csi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"sampan.dev/internal/client"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// nodeIDs is the node's annotation with what each driver calls it, as a map in JSON.
const nodeIDs = "csi.volume.kubernetes.io/nodeid"

// makeCSINode makes the node's CSINode, with no drivers, when there is none. It tries until that is done.
func (m *Manager) makeCSINode(ctx context.Context, uid types.UID) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Minute) {
		m.announcing.Lock()
		_, err := m.csiNode(ctx, uid)
		m.announcing.Unlock()
		if err == nil || ctx.Err() != nil {
			return
		}
		m.cfg.Log.Debug("CSINode not made", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// csiNode reads the node's CSINode. One that belonged to an earlier node of the name is replaced.
func (m *Manager) csiNode(ctx context.Context, uid types.UID) (*storagev1.CSINode, error) {
	is, err := client.Get[*storagev1.CSINode](ctx, m.cfg.Hub, client.CSINodes, "", m.cfg.Node)
	if err == nil && !slices.ContainsFunc(is.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "Node" && o.Name == m.cfg.Node && o.UID == uid }) {
		if err := client.Delete(ctx, m.cfg.Hub, client.CSINodes, "", is.Name, is.UID); err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("error deleting existing CSINode %q: %w", is.Name, err)
		}
		err = apierrors.NewNotFound(client.CSINodes.GroupResource(), is.Name)
	}
	if !apierrors.IsNotFound(err) {
		return is, err
	}
	return client.Create(ctx, m.cfg.Hub, client.CSINodes, &storagev1.CSINode{
		ObjectMeta: metav1.ObjectMeta{Name: m.cfg.Node, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: m.cfg.Node, UID: uid}}},
		Spec:       storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{}},
	})
}

// install writes to the hub what a driver says of the node.
func (m *Manager) install(ctx context.Context, name string, info *csipb.NodeGetInfoResponse) error {
	if info.GetNodeId() == "" {
		return fmt.Errorf("error adding CSI driver node info: driverNodeID must not be empty")
	}
	segments := info.GetAccessibleTopology().GetSegments()
	err := m.retry(ctx, func() error {
		return m.patchNode(ctx, func(n *corev1.Node) (map[string]any, error) { return nodePatch(n, name, info.NodeId, segments) })
	})
	if err != nil {
		return fmt.Errorf("error updating Node object with CSI driver node info: %w", err)
	}
	if err := m.setDriver(ctx, name, said(name, info)); err != nil {
		return fmt.Errorf("error updating CSINode object with CSI driver node info: %w", err)
	}
	return nil
}

// said is a driver's entry in the CSINode.
func said(name string, info *csipb.NodeGetInfoResponse) *storagev1.CSINodeDriver {
	out := &storagev1.CSINodeDriver{Name: name, NodeID: info.GetNodeId(), TopologyKeys: slices.Sorted(maps.Keys(info.GetAccessibleTopology().GetSegments()))}
	if n := info.GetMaxVolumesPerNode(); n > 0 {
		count := int32(min(n, math.MaxInt32))
		out.Allocatable = &storagev1.VolumeNodeResources{Count: &count}
	}
	return out
}

// uninstall takes back what install wrote, but for the labels, as upstream does.
func (m *Manager) uninstall(ctx context.Context, name string) error {
	if err := m.setDriver(ctx, name, nil); err != nil {
		return fmt.Errorf("error uninstalling CSI driver from CSINode object %w", err)
	}
	return m.retry(ctx, func() error {
		return m.patchNode(ctx, func(n *corev1.Node) (map[string]any, error) { return nodePatch(n, name, "", nil) })
	})
}

// retry tries something that others' writes may come in the way of a few times.
func (m *Manager) retry(ctx context.Context, try func() error) (err error) {
	pause := 10 * time.Millisecond
	for range 4 {
		m.announcing.Lock()
		err = try()
		m.announcing.Unlock()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause *= 6
	}
	return err
}

// setDriver puts a driver into the CSINode, or takes it out when said is nil.
func (m *Manager) setDriver(ctx context.Context, name string, said *storagev1.CSINodeDriver) error {
	return m.retry(ctx, func() error {
		node, err := client.Get[*corev1.Node](ctx, m.cfg.Hub, client.Nodes, "", m.cfg.Node)
		if err != nil {
			return err
		}
		is, err := m.csiNode(ctx, node.UID)
		if err != nil {
			return err
		}
		drivers, changed := withDriver(is.Spec.Drivers, name, said)
		if !changed {
			return nil
		}
		next := is.DeepCopy()
		next.Spec.Drivers = drivers
		_, err = client.Update(ctx, m.cfg.Hub, client.CSINodes, next)
		return err
	})
}

// withDriver is a list of drivers with one as said, or without it when said is nil.
func withDriver(list []storagev1.CSINodeDriver, name string, said *storagev1.CSINodeDriver) (out []storagev1.CSINodeDriver, changed bool) {
	out, changed = []storagev1.CSINodeDriver{}, said != nil
	for _, d := range list {
		switch {
		case d.Name != name:
			out = append(out, d)
		case said == nil:
			changed = true
		case sameDriver(&d, said):
			return list, false
		}
	}
	if said != nil {
		out = append(out, *said)
	}
	return out, changed
}

func sameDriver(a, b *storagev1.CSINodeDriver) bool {
	count := func(d *storagev1.CSINodeDriver) int32 {
		if d.Allocatable == nil || d.Allocatable.Count == nil {
			return 0
		}
		return *d.Allocatable.Count
	}
	ak, bk := slices.Sorted(slices.Values(a.TopologyKeys)), slices.Sorted(slices.Values(b.TopologyKeys))
	return a.NodeID == b.NodeID && count(a) == count(b) && slices.Equal(ak, bk)
}

// patchNode changes the node's metadata as change says of the node as it is now; nil means not at all.
func (m *Manager) patchNode(ctx context.Context, change func(*corev1.Node) (map[string]any, error)) error {
	node, err := client.Get[*corev1.Node](ctx, m.cfg.Hub, client.Nodes, "", m.cfg.Node)
	if err != nil {
		return err
	}
	meta, err := change(node)
	if err != nil || meta == nil {
		return err
	}
	meta["resourceVersion"] = node.ResourceVersion
	_, err = client.MergePatch(ctx, m.cfg.Hub, client.Ref{Resource: client.Nodes, Name: m.cfg.Node}, map[string]any{"metadata": meta})
	return err
}

// nodePatch is what changes of a node's metadata when a driver calls it id, or does no longer ("") and says where it is.
func nodePatch(n *corev1.Node, name, id string, segments map[string]string) (map[string]any, error) {
	ids := map[string]string{}
	if text := n.Annotations[nodeIDs]; text != "" {
		if err := json.Unmarshal([]byte(text), &ids); err != nil {
			return nil, fmt.Errorf("failed to parse node's %q annotation value (%q) err=%w", nodeIDs, text, err)
		}
	}
	meta := map[string]any{}
	if ids[name] != id {
		if ids[name] = id; id == "" {
			delete(ids, name)
		}
		meta["annotations"] = map[string]any{nodeIDs: nil}
		if len(ids) > 0 {
			text, err := json.Marshal(ids)
			if err != nil {
				return nil, err
			}
			meta["annotations"] = map[string]any{nodeIDs: string(text)}
		}
	}
	labels := map[string]any{}
	for k, v := range segments {
		has, there := n.Labels[k]
		if there && has != v {
			return nil, fmt.Errorf("detected topology value collision: driver reported %q:%q but existing label is %q:%q", k, v, k, has)
		}
		if !there {
			labels[k] = v
		}
	}
	if len(labels) > 0 {
		meta["labels"] = labels
	}
	if len(meta) == 0 {
		return nil, nil
	}
	return meta, nil
}
