package node

import (
	"context"
	"log/slog"
	"sync"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/record"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// notices are events about a node that its parts have to tell, some before there is anybody to tell them to.
type notices struct {
	mu struct {
		sync.Mutex
		to      func(reason, message string) // nil at first
		waiting [][2]string
	}
}

func (n *notices) tell(reason, message string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.to == nil {
		n.mu.waiting = append(n.mu.waiting, [2]string{reason, message})
		return
	}
	n.mu.to(reason, message)
}

// run writes the notices of a node through its door until ctx ends.
func (n *notices) run(ctx context.Context, door client.Interface, node string, log *slog.Logger) error {
	events := record.New(door, "kubelet", node, log)
	ref := corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: node, UID: types.UID(node)} // as kubelets name theirs
	n.mu.Lock()
	n.mu.to = func(reason, message string) { events.EventRef(ref, corev1.EventTypeWarning, reason, message) }
	for _, w := range n.mu.waiting {
		n.mu.to(w[0], w[1])
	}
	n.mu.waiting = nil
	n.mu.Unlock()
	return events.Run(ctx)
}
