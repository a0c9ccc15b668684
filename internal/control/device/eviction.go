package device

import (
	"time"

	"sampan.dev/internal/api/devices"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// eviction is when a pod has to go, and because of which rules; taints of slices have none. The zero value says: it may stay.
type eviction struct {
	due   bool
	at    time.Time
	rules map[types.UID]bool
}

// also joins what two devices, or two claims, of one pod say: the earlier time, all reasons.
func (e eviction) also(o eviction) eviction {
	switch {
	case !o.due:
		return e
	case !e.due:
		return o
	}
	out := eviction{due: true, at: e.at, rules: map[types.UID]bool{}}
	if o.at.Before(e.at) {
		out.at = o.at
	}
	for _, m := range []map[types.UID]bool{e.rules, o.rules} {
		for uid := range m {
			out.rules[uid] = true
		}
	}
	return out
}

// evictionBy says when users of a claim have to go because of a device's taints: those of the published device (nil if there is none), and
// those of rules.
func evictionBy(d *resourcev1.DeviceRequestAllocationResult, published *resourcev1.Device, rules []*resourcev1.DeviceTaintRule) (out eviction) {
	if published != nil {
		for i := range published.Taints {
			out = out.also(evictionByTaint(d.Tolerations, &published.Taints[i]))
		}
	}
	for _, rule := range rules {
		if !devices.Picks(rule, d.Driver, d.Pool, d.Device) {
			continue
		}
		one := evictionByTaint(d.Tolerations, &rule.Spec.Taint)
		one.rules = map[types.UID]bool{rule.UID: true}
		out = out.also(one)
	}
	return out
}

// evictionByTaint says when a taint ends to be tolerated: at once, for which it counts when it was added, or after the shortest of the
// times that tolerations name. Only tolerations that name the effect are looked at, as upstream does it.
func evictionByTaint(tolerations []resourcev1.DeviceToleration, taint *resourcev1.DeviceTaint) eviction {
	if taint.Effect != resourcev1.DeviceTaintEffectNoExecute {
		return eviction{}
	}
	at, least := time.Time{}, int64(-1)
	if taint.TimeAdded != nil {
		at = taint.TimeAdded.Time
	}
	for i := range tolerations {
		t := &tolerations[i]
		if t.Effect != resourcev1.DeviceTaintEffectNoExecute || !resourceclaim.ToleratesTaint(*t, *taint) {
			continue
		}
		if t.TolerationSeconds == nil {
			return eviction{}
		}
		if s := max(*t.TolerationSeconds, 0); least < 0 || s < least {
			least = s
		}
	}
	return eviction{due: true, at: at.Add(time.Duration(max(least, 0)) * time.Second)}
}

// published finds a device among the newest slices of a pool.
func published(pool []*resourcev1.ResourceSlice, device string) *resourcev1.Device {
	newest := int64(-1)
	for _, s := range pool {
		newest = max(newest, s.Spec.Pool.Generation)
	}
	for _, s := range pool {
		if s.Spec.Pool.Generation != newest {
			continue
		}
		for i := range s.Spec.Devices {
			if s.Spec.Devices[i].Name == device {
				return &s.Spec.Devices[i]
			}
		}
	}
	return nil
}
