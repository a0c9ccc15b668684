package register

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

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

// statusPatch is the strategic merge patch that makes one status the other, nil when they are equal.
func statusPatch(old, next *corev1.NodeStatus) ([]byte, error) {
	before, err := json.Marshal(corev1.Node{Status: *old})
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(corev1.Node{Status: *next})
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Node{})
	if err != nil || string(patch) == "{}" {
		return nil, err
	}
	// Addresses merge by type, which would mix old and new ones; upstream replaces them in whole, too.
	if !equality.Semantic.DeepEqual(old.Addresses, next.Addresses) {
		return replaceAddresses(patch, next.Addresses)
	}
	return patch, nil
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
