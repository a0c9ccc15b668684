package load

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// hollow makes n nodes that are Ready and take pods. Admission puts a taint on every new node that the node lifecycle controller
// takes off; where the bench runs none, on either side, it is taken off here.
func (r *run) hollow(cs kubernetes.Interface, n int) error {
	return each(n, 32, func(_, i int) error {
		node, err := cs.CoreV1().Nodes().Create(r.ctx, hollowNode(i), metav1.CreateOptions{})
		if err != nil || len(node.Spec.Taints) == 0 {
			return err
		}
		_, err = cs.CoreV1().Nodes().Patch(r.ctx, node.Name, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{})
		return err
	})
}
