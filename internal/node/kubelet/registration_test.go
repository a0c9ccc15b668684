package kubelet

import (
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/node/register"

	coordv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (v *virtual) node() (*corev1.Node, error) {
	return client.Get[*corev1.Node](v.Context(), v.hub.Own(), client.Nodes, "", "n1")
}

// A node that is not to register waits for its object to be made by hand and fills it in; labels and taints of registration mean nothing then.
func TestVirtualNodeByHand(t *testing.T) {
	inVirtualTimeWith(t, func(c *Config) {
		c.Register, c.Labels = false, map[string]string{"a": "b"}
		c.Taints = []corev1.Taint{{Key: "t", Effect: corev1.TaintEffectNoSchedule}}
	}, func(v *virtual) {
		time.Sleep(5 * time.Minute)
		if _, err := v.node(); !apierrors.IsNotFound(err) {
			v.Fatalf("the node has come by itself: %v", err)
		}
		if _, err := client.Create(v.Context(), v.hub.Own(), client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"mine": "yes"}}}); err != nil {
			v.Fatal(err)
		}
		time.Sleep(time.Minute)
		n, err := v.node()
		if err != nil {
			v.Fatal(err)
		}
		if v.readyCondition().Status != corev1.ConditionTrue || n.Status.Capacity.Pods().Value() != 110 || n.Labels["mine"] != "yes" || n.Labels["a"] != "" {
			v.Errorf("labels %v, status %+v", n.Labels, n.Status)
		}
		for _, taint := range n.Spec.Taints {
			if taint.Key == "t" {
				v.Errorf("taints %v", n.Spec.Taints)
			}
		}
	})
}

// While nothing changes the status is written every five minutes, and as often as it is looked at where that was asked for; the lease
// every ten seconds in both cases.
func TestVirtualHeartbeats(t *testing.T) {
	for _, row := range []struct {
		name          string
		every, report time.Duration // as they are configured
		want          time.Duration // between two reports
	}{{"by default", 0, 0, 5 * time.Minute}, {"every 5s", 5 * time.Second, 5 * time.Second, 5 * time.Second}} {
		t.Run(row.name, func(t *testing.T) {
			inVirtualTimeWith(t, func(c *Config) { c.StatusEvery, c.ReportEvery = row.every, row.report }, func(v *virtual) {
				time.Sleep(time.Minute) // what it finds out at first is told
				first := v.readyCondition().LastHeartbeatTime.Time
				node, err := v.node()
				if err != nil {
					v.Fatal(err)
				}
				last, reports := first, 0
				revisions := map[string]bool{node.ResourceVersion: true}
				renewals := map[time.Time]bool{}
				for range 15 * 60 {
					time.Sleep(time.Second)
					if now := v.readyCondition().LastHeartbeatTime.Time; !now.Equal(last) {
						if d := now.Sub(last); last != first && (d < row.want-time.Second || d > row.want+11*time.Second) {
							v.Errorf("reports %v apart", d)
						}
						last = now
						reports++
					}
					n, err := v.node()
					if err != nil {
						v.Fatal(err)
					}
					revisions[n.ResourceVersion] = true
					l, err := client.Get[*coordv1.Lease](v.Context(), v.hub.Own(), client.Leases, register.LeaseNamespace, "n1")
					if err != nil {
						v.Fatal(err)
					}
					renewals[l.Spec.RenewTime.Time] = true
				}
				if want := int(15 * time.Minute / row.want); reports < want-1 || reports > want+1 {
					v.Errorf("%d reports in a quarter of an hour, not %d", reports, want)
				}
				if len(revisions)-1 > reports {
					v.Errorf("%d writes for %d reports", len(revisions)-1, reports)
				}
				if n := len(renewals); n < 80 || n > 95 {
					v.Errorf("the lease was renewed %d times", n)
				}
			})
		})
	}
}

// A node that was deleted comes back with the next start of its kubelet, as that is configured then.
func TestVirtualRegistrationAnew(t *testing.T) {
	inVirtualTimeWith(t, func(c *Config) { c.Labels = map[string]string{"rack": "1"} }, func(v *virtual) {
		if n, err := v.node(); err != nil || n.Labels["rack"] != "1" {
			v.Fatalf("%+v %v", n, err)
		}
		if err := client.Delete(v.Context(), v.hub.Own(), client.Nodes, "", "n1", ""); err != nil {
			v.Fatal(err)
		}
		v.restart(func(c *Config) { c.Labels = map[string]string{"rack": "2"} })
		time.Sleep(time.Minute)
		if n, err := v.node(); err != nil || n.Labels["rack"] != "2" || v.readyCondition().Status != corev1.ConditionTrue {
			v.Errorf("%+v %v", n, err)
		}
	})
}
