package storage

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apitest"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestValidate holds what is said of new objects; the words are upstream's.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name, obj, want string
		kind            *api.Kind
	}{
		{"plain", `provisioner: Example.com/P`, ``, Classes()},
		{"no provisioner", `{}`, `provisioner: Required value`, Classes()},
		{"policy", `{provisioner: p, reclaimPolicy: Recycle}`, `reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"`, Classes()},
		{"binding", `{provisioner: p, volumeBindingMode: Later}`, `volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"`, Classes()},
		{"parameters", `{provisioner: p, parameters: {"": x}}`, `parameters: Invalid value: "": field can not be empty.`, Classes()},
		{"topologies alike", `{provisioner: p, allowedTopologies: [{matchLabelExpressions: [{key: z, values: [a, b]}]}, {matchLabelExpressions: [{key: z, values: [b, a]}]}]}`,
			`allowedTopologies[1].matchLabelExpressions: Duplicate value: ""`, Classes()},
		{"topology", `{provisioner: p, allowedTopologies: [{matchLabelExpressions: [{key: z, values: [a, a]}, {key: z}]}]}`,
			"allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"a\"\nallowedTopologies[0].matchLabelExpressions[1].values: Required value\nallowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: \"z\"", Classes()},

		{"plain", `{}`, ``, Drivers()},
		{"token requests", `spec: {tokenRequests: [{audience: a, expirationSeconds: 10}, {audience: a}]}`,
			"spec.tokenRequests[0].expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes\nspec.tokenRequests[1].audience: Duplicate value: \"a\"", Drivers()},
		{"modes", `spec: {volumeLifecycleModes: [Forever]}`, `spec.volumeLifecycleModes: Unsupported value: "Forever": supported values: "Persistent", "Ephemeral"`, Drivers()},
		{"period", `spec: {nodeAllocatableUpdatePeriodSeconds: 9}`, `spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds`, Drivers()},
		{"tokens in secrets", `spec: {serviceAccountTokenInSecrets: true}`,
			`spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no tokenRequests are specified`, Drivers()},

		{"plain", `spec: {drivers: [{name: d, nodeID: n, topologyKeys: [a/b], allocatable: {count: 0}}]}`, ``, Nodes()},
		{"driver", `spec: {drivers: [{name: d, nodeID: "", topologyKeys: [k, k], allocatable: {count: -1}}]}`,
			"spec.drivers[0].nodeID: Required value\nspec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0\nspec.drivers[0]: Duplicate value: \"k\"", Nodes()},
		{"twice", `spec: {drivers: [{name: d, nodeID: n, topologyKeys: null}, {name: d, nodeID: n, topologyKeys: null}]}`, `spec.drivers[1].name: Duplicate value: "d"`, Nodes()},

		{"plain", `{storageClassName: c, capacity: 1Gi, nodeTopology: {matchLabels: {a: b}}}`, ``, Capacities()},
		{"less than nothing", `{storageClassName: c, capacity: -1}`, `capacity: Invalid value: "-1": must be greater than or equal to 0`, Capacities()},
		{"no class", `{}`, `storageClassName: Invalid value: "": a lowercase RFC 1123 subdomain`, Capacities()},

		{"plain", `{driverName: d, parameters: {a: b}}`, ``, AttributesClasses()},
		{"nothing", `{}`, "driverName: Required value\nparameters: Required value: must contain at least one key/value pair", AttributesClasses()},

		{"plain", `spec: {attacher: A.example, nodeName: n, source: {persistentVolumeName: v}}`, ``, Attachments()},
		{"nothing", `{}`, "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName\nspec.nodeName: Invalid value: \"\": a lowercase", Attachments()},
		{"attacher last", `spec: {attacher: "", nodeName: n, source: {persistentVolumeName: v}}`, `spec.attacher: Required value`, Attachments()},
		{"inline", `spec: {attacher: a, nodeName: n, source: {inlineVolumeSpec: {accessModes: [ReadWriteOnce], storageClassName: c, hostPath: {path: /x}}}}`,
			"spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes\nspec.source.inlineVolumeSpec.storageClassName: Forbidden: may not be specified in the context of inline volumes", Attachments()},
	} {
		t.Run(c.kind.Kind+" "+c.name, func(t *testing.T) {
			got := apitest.Text(c.kind.Validate(apitest.Read(t, c.kind, c.obj, "")))
			if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestUpdate holds what an update may not change.
func TestUpdate(t *testing.T) {
	for _, c := range []struct {
		old, obj, want string
		kind           *api.Kind
	}{
		{`{provisioner: p, parameters: {a: b}}`, `{provisioner: q, reclaimPolicy: Retain, volumeBindingMode: WaitForFirstConsumer, mountOptions: [x]}`,
			"provisioner: Invalid value: null: field is immutable\nparameters: Invalid value: null: field is immutable\nreclaimPolicy: Invalid value: null: field is immutable\nvolumeBindingMode: Invalid value: null: field is immutable", Classes()},
		{`{provisioner: p}`, `{provisioner: p, parameters: {}, allowVolumeExpansion: true}`, ``, Classes()},
		{`{}`, `spec: {attachRequired: false, podInfoOnMount: true}`, `spec.attachedRequired: Invalid value: false: field is immutable`, Drivers()},
		{`{}`, `spec: {volumeLifecycleModes: [Ephemeral]}`, `spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: field is immutable`, Drivers()},
		{`spec: {drivers: [{name: d, nodeID: n, topologyKeys: null}]}`, `spec: {drivers: [{name: d, nodeID: m, topologyKeys: null}]}`,
			`spec.drivers: Invalid value: {"Name":"d","NodeID":"m","TopologyKeys":null,"Allocatable":null}: field is immutable`, Nodes()},
		{`spec: {drivers: [{name: d, nodeID: n, topologyKeys: null}]}`, `spec: {drivers: [{name: d, nodeID: n, topologyKeys: null, allocatable: {count: 3}}]}`, ``, Nodes()},
		{`{storageClassName: c}`, `{storageClassName: d}`, `storageClassName: Invalid value: "d": field is immutable`, Capacities()},
		{`{driverName: d, parameters: {a: b}}`, `{driverName: e, parameters: {a: c}}`, "driverName: Forbidden: updates to driverName are forbidden.\nparameters: Forbidden: updates to parameters are forbidden.", AttributesClasses()},
		{`spec: {attacher: a, nodeName: n, source: {persistentVolumeName: v}}`, `spec: {attacher: b, nodeName: n, source: {persistentVolumeName: v}}`, `spec: Invalid value: null: field is immutable`, Attachments()},
	} {
		got := apitest.Text(c.kind.ValidateUpdate(apitest.Read(t, c.kind, c.obj, ""), apitest.Read(t, c.kind, c.old, "")))
		if got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.kind.Kind, got, c.want)
		}
	}
}

// TestDriverDefaults: every flag of a driver has a default.
func TestDriverDefaults(t *testing.T) {
	got, err := yaml.Marshal(apitest.Read(t, Drivers(), `{}`, "").(*storagev1.CSIDriver).Spec)
	want := "attachRequired: true\nfsGroupPolicy: ReadWriteOnceWithFSType\npodInfoOnMount: false\npreventPodSchedulingIfMissing: false\nrequiresRepublish: false\nseLinuxMount: false\nstorageCapacity: false\nvolumeLifecycleModes:\n- Persistent\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestWarnings(t *testing.T) {
	k := Drivers()
	none, asks := apitest.Read(t, k, `{}`, ""), apitest.Read(t, k, `spec: {tokenRequests: [{audience: a}]}`, "")
	for _, c := range []struct {
		obj, old api.Object
		want     int
	}{{none, nil, 0}, {asks, nil, 1}, {asks, asks, 0}, {asks, none, 1}, {none, asks, 0}} {
		if got := k.Warnings(c.obj, c.old); len(got) != c.want {
			t.Errorf("%q", got)
		}
	}
	class := apitest.Read(t, Classes(), `{provisioner: p, allowedTopologies: [{matchLabelExpressions: [{key: beta.kubernetes.io/os, values: [x]}]}]}`, "")
	if got := Classes().Warnings(class, nil); !slices.Equal(got, []string{`allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.14; use "kubernetes.io/os" instead`}) {
		t.Errorf("%q", got)
	}
	capacity := apitest.Read(t, Capacities(), `{storageClassName: c, nodeTopology: {matchLabels: {beta.kubernetes.io/arch: x}}}`, "")
	if got := Capacities().Warnings(capacity, nil); !slices.Equal(got, []string{`nodeTopology.matchLabels.beta.kubernetes.io/arch: deprecated since v1.14; use "kubernetes.io/arch" instead`}) {
		t.Errorf("%q", got)
	}
}

// TestDefaultClassRow: of classes that are all the default, lists mark the newest one, and a class alone is not marked.
func TestDefaultClassRow(t *testing.T) {
	k := Classes()
	var list []api.Object
	for i, name := range []string{"plain", "old", "new", "also-new"} {
		c := apitest.Read(t, k, `provisioner: p`, "").(*storagev1.StorageClass)
		c.Name, c.CreationTimestamp = name, metav1.NewTime(time.Unix(int64(min(i, 2)), 0))
		if name != "plain" {
			c.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
		}
		list = append(list, c)
	}
	row := k.RowIn(list)
	for i, want := range []string{"plain", "old", "new", "also-new (default)"} {
		if got := row(list[i])[0]; got != want {
			t.Errorf("%v, want %s", got, want)
		}
		if got := k.Row(list[i])[0]; got != list[i].GetName() {
			t.Errorf("alone: %v", got)
		}
	}
}
