package devices

import (
	resourcev1 "k8s.io/api/resource/v1"
)

// Picks reports whether a rule taints a device.
func Picks(rule *resourcev1.DeviceTaintRule, driver, pool, device string) bool {
	s := rule.Spec.DeviceSelector
	return s != nil && (s.Driver == nil || *s.Driver == driver) && (s.Pool == nil || *s.Pool == pool) && (s.Device == nil || *s.Device == device)
}

// Tainted returns slices whose devices have the taints of the rules beside their own. Those that no rule touches are returned as they are.
func Tainted(slices []*resourcev1.ResourceSlice, rules []*resourcev1.DeviceTaintRule) []*resourcev1.ResourceSlice {
	if len(rules) == 0 {
		return slices
	}
	out := make([]*resourcev1.ResourceSlice, len(slices))
	for i, slice := range slices {
		out[i] = slice
		for _, rule := range rules {
			for d := range slice.Spec.Devices {
				if !Picks(rule, slice.Spec.Driver, slice.Spec.Pool.Name, slice.Spec.Devices[d].Name) {
					continue
				}
				if out[i] == slice {
					out[i] = slice.DeepCopy()
				}
				device := &out[i].Spec.Devices[d]
				device.Taints = append(device.Taints, rule.Spec.Taint)
			}
		}
	}
	return out
}
