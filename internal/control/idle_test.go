package control_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (b *bench) revision() int {
	b.Helper()
	l, err := b.door.List(b.Context(), client.Ref{Resource: client.Nodes}, metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	n, err := strconv.Atoi(l.ResourceVersion)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// writtenSince names the objects, save for leases, that have been written since a revision.
func (b *bench) writtenSince(revision int) (out []string) {
	b.Helper()
	for _, k := range all.Kinds().All() {
		if k.Virtual || k.View != nil || k.Resource == "leases" {
			continue
		}
		l, err := b.door.List(b.Context(), client.Ref{Resource: k.GVR()}, metav1.ListOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for _, obj := range l.Items {
			if rv, _ := strconv.Atoi(obj.GetResourceVersion()); rv > revision {
				out = append(out, k.Resource+" "+obj.GetNamespace()+"/"+obj.GetName())
			}
		}
	}
	return out
}

// A cluster in which nothing happens writes nothing but the kubelets' leases.
func TestIdleIsIdle(t *testing.T) {
	inBubble(t, control.Config{NodeIPAM: ipam, RootCA: []byte("bundle")}, func(b *bench) {
		for i := range 3 {
			b.addNode(fmt.Sprint("n", i), nil)
		}
		b.settle(time.Second)
		b.service("web", nil)
		if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 6)); err != nil {
			b.Fatal(err)
		}
		b.await("rollout", time.Minute, b.rolledOut("default", "web"))
		b.settle(2 * time.Hour) // past the progress deadline, and the life of events
		before := b.revision()
		b.settle(2 * time.Hour)
		if n := b.revision() - before; n != 3*6*120 {
			b.Errorf("%d writes, of which %d are leases; written since: %v", n, 3*6*120, b.writtenSince(before))
		}
	})
}
