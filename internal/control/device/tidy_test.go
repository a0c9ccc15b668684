package device

import (
	"testing"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPlan(t *testing.T) {
	alive := resourcev1.ResourceClaimConsumerReference{Resource: "pods", Name: "alive", UID: "1"}
	gone := resourcev1.ResourceClaimConsumerReference{Resource: "pods", Name: "gone", UID: "2"}
	stale := func(r resourcev1.ResourceClaimConsumerReference) bool { return r.Name == "gone" }
	claim := func(held, allocated, deleted bool, users ...resourcev1.ResourceClaimConsumerReference) *resourcev1.ResourceClaim {
		k := &resourcev1.ResourceClaim{Status: resourcev1.ResourceClaimStatus{ReservedFor: users}}
		if held {
			k.Finalizers = []string{resourcev1.Finalizer}
		}
		if allocated {
			k.Status.Allocation = &resourcev1.AllocationResult{}
		}
		if deleted {
			k.DeletionTimestamp = &metav1.Time{}
		}
		return k
	}
	for _, tc := range []struct {
		name      string
		claim     *resourcev1.ResourceClaim
		unneeded  bool
		left      int  // -1: no status is written
		allocated bool // in what is written
		free      bool
		remove    bool
	}{
		{"in use", claim(true, true, false, alive), false, -1, false, false, false},
		{"one of two is gone", claim(true, true, false, alive, gone), false, 1, true, false, false},
		{"the last is gone", claim(true, true, false, gone), false, 0, false, true, false},
		{"the last is gone, and the pod that it was made for is done", claim(true, true, false, gone), true, 0, false, true, true},
		{"allocated by others", claim(false, true, false, gone), false, 0, true, false, false},
		{"allocated and not used yet", claim(true, true, false), false, -1, false, false, false},
		{"deleted while allocated and not used", claim(true, true, true), false, 0, false, true, false},
		{"deleted while in use", claim(true, true, true, alive), false, -1, false, false, false},
		{"deleted, freed, and a crash before the finalizer went", claim(true, false, true), false, -1, false, true, false},
		{"never allocated, the pod is done", claim(false, false, false), true, -1, false, false, true},
	} {
		p := planFor(tc.claim, stale, tc.unneeded)
		left, allocated := -1, false
		if p.status != nil {
			left, allocated = len(p.status.ReservedFor), p.status.Allocation != nil
		}
		if left != tc.left || allocated != tc.allocated || p.free != tc.free || p.remove != tc.remove {
			t.Errorf("%s: %+v", tc.name, p)
		}
	}
}

func TestGenerateName(t *testing.T) {
	long := "a-name-that-goes-on-for-quite-a-while-and-then-some-more"
	for _, tc := range []struct{ pod, claim, want string }{
		{"p", "c", "p-c-"}, {long, long, long[:28] + "-" + long[:28]},
	} {
		if got := generateName(tc.pod, tc.claim); got != tc.want {
			t.Errorf("%q, %q: %q, want %q", tc.pod, tc.claim, got, tc.want)
		}
	}
}
