package proxy

import (
	"context"
	"log/slog"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/record"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// waiting is how many events may wait for the first one's way to the hub.
const waiting = 32

// events are what a proxy of its own has to tell about its node. The recorder is made with the first one, so that a proxy
// that has nothing to tell has none.
type events struct {
	door client.Interface
	node string
	log  *slog.Logger
	told chan [2]string
}

func newEvents(door client.Interface, node string, log *slog.Logger) *events {
	return &events{door: door, node: node, log: log, told: make(chan [2]string, waiting)}
}

// tell does not block: beyond what may wait, the log alone has it.
func (e *events) tell(reason, message string) {
	select {
	case e.told <- [2]string{reason, message}:
	default:
	}
}

// run records what is told until ctx ends.
func (e *events) run(ctx context.Context) error {
	var first [2]string
	select {
	case <-ctx.Done():
		return nil
	case first = <-e.told:
	}
	rec := record.New(e.door, name, e.node, e.log)
	done := make(chan error, 1)
	go func() { done <- rec.Run(ctx) }()
	ref := corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: e.node, UID: types.UID(e.node)} // as kubelets name theirs
	rec.EventRef(ref, corev1.EventTypeWarning, first[0], first[1])
	for {
		select {
		case err := <-done:
			return err
		case next := <-e.told:
			rec.EventRef(ref, corev1.EventTypeWarning, next[0], next[1])
		}
	}
}
