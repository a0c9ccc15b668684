package register

import (
	"slices"
	"testing"

	all "k8s.io/component-helpers/nodedeclaredfeatures/features"
)

// alpha are the features whose gates are off by default in v1.37.1.
var alpha = []string{"InPlacePodVerticalScalingMemoryBackedVolumes", "UserNamespacesHostNetworkSupport", "DRANodeAllocatableResources",
	"VolumeBindMountOptions", "DRAOptionalNodeOperations"}

// What the node declares is what a v1.37.1 declares with its defaults, no less and no more.
func TestDeclaredFeatures(t *testing.T) {
	got := declared("v1.37.1")
	for _, f := range all.AllFeatures {
		want := !slices.Contains(alpha, f.Name())
		if has := slices.Contains(got, f.Name()); has != want {
			t.Errorf("%s is declared: %t, by v1.37.1: %t", f.Name(), has, want)
		}
	}
	if len(got) == 0 {
		t.Error("nothing")
	}
}
