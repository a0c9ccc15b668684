package metrics

import (
	"testing"

	statsv1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

func TestVolumes(t *testing.T) {
	used := uint64(30)
	claim := &statsv1.PVCReference{Namespace: "n", Name: "c"}
	fs := statsv1.FsStats{UsedBytes: &used}
	got := Volumes([]statsv1.VolumeStats{{Name: "v", PVCRef: claim, FsStats: fs}, {Name: "own", FsStats: fs}, {Name: "w", PVCRef: claim, FsStats: fs}})
	if len(got) != 1 || got[0].Name != "kubelet_volume_stats_used_bytes" || got[0].Value != 30 || got[0].Labels["persistentvolumeclaim"] != "c" || got[0].Level != "ALPHA" {
		t.Errorf("%+v", got)
	}
}
