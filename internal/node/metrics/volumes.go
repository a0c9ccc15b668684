package metrics

import statsv1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

// Volumes are the gauges of how full the volumes of claims are, each claim once; volumes without a claim have none.
func Volumes(list []statsv1.VolumeStats) (out []Gauge) {
	told := map[statsv1.PVCReference]bool{}
	for i := range list {
		v := &list[i]
		if v.PVCRef == nil || told[*v.PVCRef] {
			continue
		}
		told[*v.PVCRef] = true
		labels := map[string]string{"namespace": v.PVCRef.Namespace, "persistentvolumeclaim": v.PVCRef.Name}
		for _, f := range []struct {
			name, help string
			value      *uint64
		}{
			{"available_bytes", "Number of available bytes in the volume", v.AvailableBytes},
			{"capacity_bytes", "Capacity in bytes of the volume", v.CapacityBytes},
			{"inodes", "Maximum number of inodes in the volume", v.Inodes},
			{"inodes_free", "Number of free inodes in the volume", v.InodesFree},
			{"inodes_used", "Number of used inodes in the volume", v.InodesUsed},
			{"used_bytes", "Number of used bytes in the volume", v.UsedBytes},
		} {
			if f.value != nil {
				out = append(out, Gauge{Name: "kubelet_volume_stats_" + f.name, Help: f.help, Level: "ALPHA", Labels: labels, Value: float64(*f.value)})
			}
		}
	}
	return out
}
