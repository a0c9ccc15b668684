package control_test

import (
	"fmt"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// addStillNodes makes nodes n0, n1, … without the leases that would make up most of a large cluster's writes.
func (b *bench) addStillNodes(n int) {
	for i := range n {
		name := fmt.Sprint("n", i)
		if _, err := client.Create(b.Context(), b.door, client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			b.Fatal(err)
		}
		b.taint(name) // with none; a new node is not ready
	}
}

// A set's pods cost a write each, and one revision; of the status there are far fewer writes than pods, for a look counts all
// that has changed. When nothing happens nothing is written.
func TestWritesOfSets(t *testing.T) {
	inBubble(t, control.Config{Controllers: []string{"serviceaccount-controller"}}, func(b *bench) {
		const pods, nodes = 500, 300
		b.addStillNodes(nodes)
		b.settle(time.Second)
		sets := &doom{account: "statefulset-controller", at: -1}
		b.managed(sets, "")
		b.addSet(statefulSet("web", pods, parallel))
		b.await("set", time.Hour, b.setDone("web"))
		b.settle(time.Minute)
		t.Logf("a StatefulSet of %d: %v", pods, sets.counts())
		if c := sets.counts(); c["create pods"] != pods || c["create controllerrevisions"] != 1 || c["update statefulsets/status"] > pods/5 || len(c) != 3 {
			t.Errorf("writes for %d pods: %v", pods, c)
		}
		before := len(sets.writes)
		b.settle(20 * time.Minute)
		if n := len(sets.writes); n != before {
			t.Errorf("%d writes while nothing happens", n-before)
		}
	})
	inBubble(t, control.Config{Controllers: []string{"serviceaccount-controller"}}, func(b *bench) {
		const pods = 50
		b.addStillNodes(10)
		b.settle(time.Second)
		sets := &doom{account: "statefulset-controller", at: -1}
		b.managed(sets, "")
		b.addSet(statefulSet("web", pods))
		b.await("set", time.Hour, b.setDone("web"))
		t.Logf("an ordered StatefulSet of %d: %v", pods, sets.counts())
		// One look sees that a pod is ready and makes the next, and its one status tells both.
		if c := sets.counts(); c["create pods"] != pods || c["update statefulsets/status"] > pods+1 || len(c) != 3 {
			t.Errorf("writes for %d pods one after the other: %v", pods, c)
		}
	})
	inBubble(t, control.Config{Controllers: []string{"serviceaccount-controller"}}, func(b *bench) {
		const nodes = 1000
		b.addStillNodes(nodes)
		b.settle(time.Second)
		daemons := &doom{account: "daemon-set-controller", at: -1}
		b.managed(daemons, "")
		b.addDaemons(daemonSet("agent"))
		b.await("daemons", time.Hour, b.daemonsOn("agent", nodes))
		b.settle(time.Minute)
		t.Logf("a DaemonSet on %d nodes: %v", nodes, daemons.counts())
		if c := daemons.counts(); c["create pods"] != nodes || c["create controllerrevisions"] != 1 || c["update daemonsets/status"] > nodes/5 || len(c) != 3 {
			t.Errorf("writes for %d nodes: %v", nodes, c)
		}
		before := len(daemons.writes)
		b.settle(20 * time.Minute)
		if n := len(daemons.writes); n != before {
			t.Errorf("%d writes while nothing happens", n-before)
		}
	})
}
