package cache

import (
	"sync/atomic"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"

	"sigs.k8s.io/randfill"
)

// TestPartOfMessage: the partition field as it is read from the message is the one of the decoded object.
func TestPartOfMessage(t *testing.T) {
	const seed, objects = 37, 200
	checked := 0
	for _, k := range all.Kinds().All() {
		if k.Partition == nil {
			continue
		}
		values := map[string]bool{}
		fill := randfill.NewWithSeed(seed).NilChance(0.3).NumElements(0, 3).MaxDepth(6)
		for i := range objects {
			obj := k.New()
			fill.Fill(obj)
			obj.GetObjectKind().SetGroupVersionKind(k.GVK())
			obj = obj.DeepCopyObject().(api.Object)
			want := k.Partition.Of(obj)
			values[want] = true
			var envs atomic.Pointer[envelope]
			en := newEntry(k, &envs, nil, "key", int64(i+1), encode(t, obj))
			if en.env == nil {
				t.Fatalf("%s: the message was not understood", k.Kind)
			}
			if got := partOf(k)(en); got != want {
				t.Fatalf("%s: %q in the message, %q in the object", k.Kind, got, want)
			}
			checked++
		}
		if len(values) < objects/4 {
			t.Errorf("%s: only %d different values were tried", k.Kind, len(values))
		}
	}
	if checked == 0 {
		t.Error("no kind has a partition field")
	}
}
