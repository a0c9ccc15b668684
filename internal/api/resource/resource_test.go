package resource

import (
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apitest"

	resourcev1 "k8s.io/api/resource/v1"
)

// TestValidate holds what is said of new objects; the words are upstream's, those of its generated rules last.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name, obj, want string
		kind            *api.Kind
	}{
		{"plain", `spec: {selectors: [{cel: {expression: "device.driver == 'd'"}}], config: [{opaque: {driver: d, parameters: {a: 1}}}], extendedResourceName: example.com/gpu}`, ``, Classes()},
		{"selector", `spec: {selectors: [{}]}`, `spec.selectors[0].cel: Required value`, Classes()},
		{"not boolean", `spec: {selectors: [{cel: {expression: "1"}}]}`, `spec.selectors[0].cel.expression: Invalid value: "1": must evaluate to bool or the unknown type, not int`, Classes()},
		{"unknown name", `spec: {selectors: [{cel: {expression: "nobody"}}]}`, `spec.selectors[0].cel.expression: Invalid value: "nobody": compilation failed: ERROR: <input>:1:1: undeclared reference to 'nobody'`, Classes()},
		{"parameters", `spec: {config: [{opaque: {driver: d, parameters: [1]}}]}`, `spec.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object`, Classes()},
		{"extended resource", `spec: {extendedResourceName: cpu}`, `spec.extendedResourceName: Invalid value: "cpu": `, Classes()},

		{"plain", `spec: {devices: {requests: [{name: r, exactly: {deviceClassName: c}}]}}`, ``, Claims()},
		{"neither", `spec: {devices: {requests: [{name: r}]}}`, "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required", Claims()},
		{"no class", `spec: {devices: {requests: [{name: r, exactly: {}}]}}`, `spec.devices.requests[0].exactly.deviceClassName: Required value`, Claims()},
		{"twice", `spec: {devices: {requests: [{name: r, exactly: {deviceClassName: c}}, {name: r, exactly: {deviceClassName: c}}]}}`, `spec.devices.requests[1]: Duplicate value: `, Claims()},
		{"unknown request", `spec: {devices: {requests: [{name: r, exactly: {deviceClassName: c}}], constraints: [{requests: [s], matchAttribute: d/a}]}}`,
			`spec.devices.constraints[0].requests[0]: Invalid value: "s": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'`, Claims()},
		{"mode", `spec: {devices: {requests: [{name: r, exactly: {deviceClassName: c, allocationMode: All, count: 2}}]}}`,
			`spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'`, Claims()},
		{"toleration", `spec: {devices: {requests: [{name: r, exactly: {deviceClassName: c, tolerations: [{operator: Exists, value: x}]}}]}}`,
			"spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: \"x\": must be empty for operator `Exists`", Claims()},

		{"metadata", `spec: {metadata: {name: x}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: c}}]}}}`, `spec.metadata.name: Forbidden: cannot be set`, ClaimTemplates()},

		{"plain", `spec: {driver: d, nodeName: n, pool: {name: p, resourceSliceCount: 1}, devices: [{name: x, attributes: {a: {string: s}}, capacity: {m: {value: 1Gi}}}]}`, ``, Slices()},
		{"nowhere", `spec: {driver: d, pool: {name: p, resourceSliceCount: 1}}`,
			"spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required", Slices()},
		{"everywhere", `spec: {driver: d, nodeName: n, allNodes: true, pool: {name: p, resourceSliceCount: 1}}`,
			"spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set", Slices()},
		{"pool", `spec: {driver: d, nodeName: n, pool: {name: "", resourceSliceCount: 0, generation: -1}}`,
			"spec.pool.name: Required value\nspec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero\nspec.pool.generation: Invalid value: -1: must be greater than or equal to zero", Slices()},
		{"policy", `spec: {driver: d, nodeName: n, pool: {name: p, resourceSliceCount: 1}, devices: [{name: x, capacity: {m: {value: 1, requestPolicy: {default: 1}}}}]}`,
			`spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true`, Slices()},
		{"range", `spec: {driver: d, nodeName: n, pool: {name: p, resourceSliceCount: 1}, devices: [{name: x, allowMultipleAllocations: true, capacity: {m: {value: 10, requestPolicy: {default: 3, validRange: {min: 1, max: 8, step: 3}}}}}]}`,
			"spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: \"3\": value is not a multiple of a given step (3) from (1)\nspec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: \"8\": value is not a multiple of a given step (3) from (1)", Slices()},

		{"plain", `spec: {taint: {key: k, effect: NoSchedule}}`, ``, TaintRules()},
		{"effect", `spec: {taint: {key: k, effect: Later}}`, `spec.taint.effect: Unsupported value: "Later": supported values: `, TaintRules()},
	} {
		t.Run(c.kind.Kind+" "+c.name, func(t *testing.T) {
			got := apitest.Text(c.kind.Validate(apitest.Made(t, c.kind, c.obj, "")))
			if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestDefaults: requests and their alternatives ask for one device, tolerations compare, taints have a time.
func TestDefaults(t *testing.T) {
	c := apitest.Made(t, Claims(), `spec: {devices: {requests: [{name: a, exactly: {deviceClassName: c, tolerations: [{key: k}]}}, {name: b, firstAvailable: [{name: x, deviceClassName: c}]}]}}`, "").(*resourcev1.ResourceClaim)
	e, s := c.Spec.Devices.Requests[0].Exactly, c.Spec.Devices.Requests[1].FirstAvailable[0]
	if e.AllocationMode != "ExactCount" || e.Count != 1 || e.Tolerations[0].Operator != "Equal" || s.AllocationMode != "ExactCount" || s.Count != 1 {
		t.Errorf("%+v %+v", e, s)
	}
	r := apitest.Made(t, TaintRules(), `spec: {taint: {key: k, effect: NoSchedule}}`, "").(*resourcev1.DeviceTaintRule)
	if r.Spec.Taint.TimeAdded.IsZero() || r.Generation != 1 {
		t.Errorf("%+v", r)
	}
	l := apitest.Made(t, Slices(), `spec: {driver: d, devices: [{name: x, taints: [{key: k, effect: NoExecute}], attributes: {a: {ints: [1]}}}], skipNodeOperations: ["*"]}`, "").(*resourcev1.ResourceSlice)
	if d := l.Spec.Devices[0]; d.Taints[0].TimeAdded.IsZero() || d.Attributes["a"].IntValues != nil || l.Spec.SkipNodeOperations != nil {
		t.Errorf("%+v", l.Spec)
	}
}

// TestUpdate: specs of claims do not change, and a taint's time follows its effect.
func TestUpdate(t *testing.T) {
	k := Claims()
	old := apitest.Made(t, k, `spec: {devices: {requests: [{name: r, exactly: {deviceClassName: c}}]}}`, "")
	obj := apitest.Made(t, k, `spec: {devices: {requests: [{name: r, exactly: {deviceClassName: d}}]}}`, "")
	if got := apitest.Text(k.ValidateUpdate(obj, old)); got != `spec: Invalid value: null: field is immutable` {
		t.Error(got)
	}
	k = TaintRules()
	was := apitest.Made(t, k, `spec: {taint: {key: k, effect: NoSchedule, timeAdded: "2020-01-01T00:00:00Z"}}`, "").(*resourcev1.DeviceTaintRule)
	is := was.DeepCopy()
	is.Spec.Taint.Effect = resourcev1.DeviceTaintEffectNoExecute
	if k.PrepareUpdate(is, was); is.Spec.Taint.TimeAdded.Equal(was.Spec.Taint.TimeAdded) || is.Generation != 2 {
		t.Errorf("%+v", is)
	}
}

// TestClaimStatus: an allocation is checked once and stays; what is told of devices goes with them.
func TestClaimStatus(t *testing.T) {
	k := Claims()
	sub := k.Sub("status")
	old := apitest.Made(t, k, `spec: {devices: {requests: [{name: r, exactly: {deviceClassName: c}}]}}`, "").(*resourcev1.ResourceClaim)
	given := old.DeepCopy()
	result := resourcev1.DeviceRequestAllocationResult{Request: "r", Driver: "d", Pool: "p", Device: "x"}
	given.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{result}}}
	given.Status.Devices = []resourcev1.AllocatedDeviceStatus{{Driver: "d", Pool: "p", Device: "x"}}
	sub.PrepareUpdate(given, old)
	if got := apitest.Text(sub.ValidateUpdate(given, old)); got != "" {
		t.Error(got)
	}
	other := given.DeepCopy()
	other.Status.Devices[0].Device = "y"
	if got := apitest.Text(sub.ValidateUpdate(other, given)); !strings.Contains(got, `status.devices[0]: Invalid value: {"Driver":"d","Pool":"p","Device":"y","ShareID":""}: must be an allocated device in the claim`) {
		t.Error(got)
	}
	moved := given.DeepCopy()
	moved.Status.Allocation.Devices.Results[0].Device = "y"
	if got := apitest.Text(sub.ValidateUpdate(moved, given)); !strings.Contains(got, "status.allocation: ") {
		t.Error(got)
	}
	back := given.DeepCopy()
	back.Status.Allocation = nil
	if sub.PrepareUpdate(back, given); len(back.Status.Devices) != 0 {
		t.Errorf("%+v", back.Status.Devices)
	}
	back.Status.ReservedFor = []resourcev1.ResourceClaimConsumerReference{{Resource: "pods", Name: "p", UID: "1"}}
	if got := apitest.Text(sub.ValidateUpdate(back, given)); !strings.Contains(got, "status.reservedFor: Forbidden: may not be specified when `allocated` is not set") {
		t.Error(got)
	}
}
