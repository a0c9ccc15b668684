package kubelet

import (
	"context"
	"time"

	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/podhost"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/volume"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// hollow is a machine that makes nothing: no files, no mounts, no control groups.
type hollow struct{}

var _ Machine = hollow{}

func (hollow) Prepare(context.Context, *corev1.Pod) (map[string]volume.Mounted, error) {
	return nil, nil
}
func (hollow) Stale(*corev1.Pod, time.Time) (time.Time, bool)             { return time.Time{}, false }
func (hollow) Renew(context.Context, *corev1.Pod) error                   { return nil }
func (hollow) Mounts(podhost.Mounting) ([]*cri.Mount, error)              { return nil, nil }
func (hollow) Dismantle(*corev1.Pod) error                                { return nil }
func (hollow) Clear(*corev1.Pod) error                                    { return nil }
func (hollow) Sweep(func(types.UID) bool)                                 {}
func (hollow) MakeLogs(*corev1.Pod, string) error                         { return nil }
func (hollow) LinkLog(*corev1.Pod, string, string, string)                {}
func (hollow) DropLogs(*corev1.Pod, *runtime.Container)                   {}
func (hollow) Restarts(*corev1.Pod, string) int                           { return 0 }
func (hollow) ImageSpace() (s evict.Signals, ok bool)                     { return s, false }
func (hollow) Logs(*corev1.Pod, string) (f evict.FS)                      { return f }
func (hollow) Volumes(*corev1.Pod) map[string]evict.FS                    { return nil }
func (hollow) ClaimedVolumes(context.Context, *corev1.Pod) []volume.Usage { return nil }
func (hollow) Pressure() evict.Pressure                                   { return evict.Pressure{} }
func (hollow) Run(context.Context)                                        {}
