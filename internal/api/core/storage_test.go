package core

import (
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apitest"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestStorageValidate holds what is said of new volumes, claims and quotas; the words are upstream's.
func TestStorageValidate(t *testing.T) {
	const claim = `spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}`
	for _, c := range []struct {
		name, obj, want string
		kind            *api.Kind
	}{
		{"plain", `spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /x}}`, ``, PersistentVolumes()},
		{"nothing", `{}`, "spec.accessModes: Required value\nspec.capacity: Required value\nspec.capacity: Unsupported value: null: supported values: \"storage\"\nspec: Required value: must specify a volume type", PersistentVolumes()},
		{"two sources", `spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /x}, nfs: {server: s, path: /}}`, `spec.nfs: Forbidden: may not specify more than 1 volume type`, PersistentVolumes()},
		{"local", `spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, local: {path: ../x}}`,
			"spec.local.path: Invalid value: \"../x\": must not contain '..'\nspec.nodeAffinity: Required value: Local volume requires node affinity", PersistentVolumes()},
		{"modes", `spec: {accessModes: [ReadWriteOnce, ReadWriteOncePod], capacity: {storage: "0"}, csi: {driver: d, volumeHandle: ""}}`,
			"spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes\nspec.capacity[storage]: Invalid value: \"0\": must be greater than zero\nspec.csi.volumeHandle: Required value", PersistentVolumes()},
		{"root recycled", `spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /}, persistentVolumeReclaimPolicy: Recycle}`,
			`spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'`, PersistentVolumes()},
		{"mount options", `{metadata: {annotations: {volume.beta.kubernetes.io/mount-options: ro}}, spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /x}}}`,
			`metadata.annotations.volume.beta.kubernetes.io/mount-options: Forbidden: may not specify mount options for this volume type`, PersistentVolumes()},
		{"attributes class", `spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /x}, volumeAttributesClassName: c}`,
			`spec.csi: Required value: has to be specified when using volumeAttributesClassName`, PersistentVolumes()},

		{"plain", claim + `}`, ``, PersistentVolumeClaims()},
		{"nothing", `{}`, "spec.accessModes: Required value: at least 1 access mode is required\nspec.resources[storage]: Required value", PersistentVolumeClaims()},
		{"no size", `spec: {accessModes: [Sometimes], resources: {requests: {storage: "0"}}}`,
			"spec.accessModes: Unsupported value: \"Sometimes\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"\nspec.resources[storage]: Invalid value: \"0\": must be greater than zero", PersistentVolumeClaims()},

		{"plain", `spec: {hard: {pods: 1, requests.cpu: 500m, count/jobs.batch: 2, requests.example.com/gpu: 1}, scopes: [NotTerminating]}`, ``, ResourceQuotas()},
		{"amounts", `spec: {hard: {pods: 1500m, fuel: 1, cpu: -1}}`,
			"spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0\nspec.hard[fuel]: Invalid value: \"fuel\": must be a standard resource type or fully qualified\nspec.hard[fuel]: Invalid value: \"fuel\": must be a standard resource for quota\nspec.hard[pods]: Invalid value: \"1500m\": must be an integer", ResourceQuotas()},
		{"scopes", `spec: {hard: {secrets: 1}, scopes: [BestEffort, NotBestEffort, Sometimes]}`,
			"spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Sometimes\"]: unsupported scope applied to resource\nspec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Sometimes\"]: unsupported scope applied to resource\nspec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Sometimes\"]: unsupported scope\nspec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Sometimes\"]: conflicting scopes", ResourceQuotas()},
		{"selector", `spec: {hard: {secrets: 1}, scopeSelector: {matchExpressions: [{scopeName: Terminating, operator: In}]}}`,
			"spec.scopeSelector.matchExpressions: Invalid value: {\"MatchExpressions\":[{\"ScopeName\":\"Terminating\",\"Operator\":\"In\",\"Values\":null}]}: unsupported scope applied to resource\nspec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exists' when scope is any of", ResourceQuotas()},
	} {
		t.Run(c.kind.Kind+" "+c.name, func(t *testing.T) {
			got := apitest.Text(c.kind.Validate(apitest.Read(t, c.kind, c.obj, "")))
			if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestVolumeUpdate: a volume's source stays, and its affinity but for new names of labels.
func TestVolumeUpdate(t *testing.T) {
	k := PersistentVolumes()
	const spec = `accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, csi: {driver: d, volumeHandle: h`
	affinity := func(key string) string {
		return `, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: ` + key + `, operator: In, values: [a]}]}]}}`
	}
	for _, c := range []struct{ old, obj, want string }{
		{spec + `}`, spec + `, controllerExpandSecretRef: {name: s, namespace: ns}}`, ``},
		{spec + `}`, spec + `, fsType: xfs}`, "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n@@ "},
		{spec + `}` + affinity("failure-domain.beta.kubernetes.io/zone"), spec + `}` + affinity("topology.kubernetes.io/zone"), ``},
		{spec + `}` + affinity("a"), spec + `}` + affinity("b"), `nodeAffinity: Invalid value: {"Required":{"NodeSelectorTerms":[{"MatchExpressions":[{"Key":"b","Operator":"In","Values":["a"]}],"MatchFields":null}]}}: field is immutable, except for updating from beta label to GA`},
		{spec + `}, volumeAttributesClassName: c`, spec + `}`, `spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden`},
		{spec + `}`, spec + `}, volumeMode: Block`, `volumeMode: Invalid value: "Block": field is immutable`},
	} {
		got := apitest.Text(k.ValidateUpdate(apitest.Read(t, k, "spec: {"+c.obj+"}", ""), apitest.Read(t, k, "spec: {"+c.old+"}", "")))
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
}

// TestClaimUpdate: a claim's spec stays, but for the volume that it gets, a class that it had not named, and growth once it is bound.
func TestClaimUpdate(t *testing.T) {
	k := PersistentVolumeClaims()
	base := `spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}`
	grown := `spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}`
	const immutable = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
	for _, c := range []struct{ name, old, obj, want string }{
		{"gets a volume", base + `}`, base + `, volumeName: v}`, ``},
		{"another volume", base + `, volumeName: v}`, base + `, volumeName: w}`, immutable + "--- "},
		{"gets a class", base + `}`, base + `, storageClassName: c}`, ``},
		{"another class", base + `, storageClassName: c}`, base + `, storageClassName: d}`, immutable},
		{"grows unbound", base + `}`, grown + `}`, immutable},
		{"grows bound", base + `}` + "\nstatus: {phase: Bound, capacity: {storage: 1Gi}}", grown + `}` + "\nstatus: {phase: Bound, capacity: {storage: 1Gi}}", ``},
		{"shrinks below what it has", grown + `}` + "\nstatus: {phase: Bound, capacity: {storage: 1Gi}}", base + `}` + "\nstatus: {phase: Bound, capacity: {storage: 1Gi}}",
			`spec.resources.requests.storage: Forbidden: field can not be less than status.capacity`},
		{"mode", base + `}`, base + `, volumeMode: Block}`, immutable},
	} {
		got := apitest.Text(k.ValidateUpdate(apitest.Read(t, k, c.obj, ""), apitest.Read(t, k, c.old, "")))
		want := strings.TrimSuffix(c.want, "--- ")
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, want)
		}
	}
}

// TestClaimSources: each of the two fields is filled from the other, and what the older one may not hold is dropped.
func TestClaimSources(t *testing.T) {
	k := PersistentVolumeClaims()
	for _, c := range []struct{ spec, want string }{
		{`dataSource: {kind: PersistentVolumeClaim, name: a}`, "dataSource: {kind: PersistentVolumeClaim, name: a}\ndataSourceRef: {kind: PersistentVolumeClaim, name: a}"},
		{`dataSource: {kind: Pear, apiGroup: x.io, name: a}`, ``},
		{`dataSourceRef: {kind: Pear, apiGroup: x.io, name: a}`, "dataSource: {apiGroup: x.io, kind: Pear, name: a}\ndataSourceRef: {apiGroup: x.io, kind: Pear, name: a}"},
		{`dataSourceRef: {kind: PersistentVolumeClaim, name: a, namespace: b}`, ``},
	} {
		obj := apitest.Read(t, k, "spec: {"+c.spec+"}", "").(*corev1.PersistentVolumeClaim)
		k.PrepareCreate(obj)
		want := &corev1.PersistentVolumeClaimSpec{}
		if err := yaml.Unmarshal([]byte(c.want), want); err != nil {
			t.Fatal(err)
		}
		got, _ := yaml.Marshal(struct{ A, B any }{obj.Spec.DataSource, obj.Spec.DataSourceRef})
		wants, _ := yaml.Marshal(struct{ A, B any }{want.DataSource, want.DataSourceRef})
		if string(got) != string(wants) {
			t.Errorf("%s: %s", c.spec, got)
		}
	}
}

func TestStorageRows(t *testing.T) {
	v := apitest.Read(t, PersistentVolumes(), `{metadata: {name: v}, spec: {accessModes: [ReadWriteMany, ReadWriteOnce], capacity: {storage: 1Gi}, claimRef: {namespace: ns, name: c}, storageClassName: s}}`, "")
	if got := cells(PersistentVolumes().Row(v)); got != "v | 1Gi | RWO,RWX | Retain | Pending | ns/c | s | <unset> |  | @00:00 | Filesystem" {
		t.Error(got)
	}
	c := apitest.Read(t, PersistentVolumeClaims(), `{metadata: {name: c}, spec: {volumeName: v}, status: {phase: Bound, capacity: {storage: 1Gi}, accessModes: [ReadWriteOncePod]}}`, "")
	if got := cells(PersistentVolumeClaims().Row(c)); got != "c | Bound | v | 1Gi | RWOP |  | <unset> | @00:00 | Filesystem" {
		t.Error(got)
	}
	q := apitest.Read(t, ResourceQuotas(), `{metadata: {name: q}, status: {hard: {pods: 3, limits.cpu: 2, requests.cpu: 1}, used: {pods: 1}}}`, "")
	if got := cells(ResourceQuotas().Row(q)); got != "q | pods: 1/3, requests.cpu: 0/1 | limits.cpu: 0/2 | @00:00" {
		t.Error(got)
	}
	if got := ResourceQuotas().Warnings(apitest.Read(t, ResourceQuotas(), `spec: {hard: {cpu: 2, limits.cpu: 1}}`, ""), nil); len(got) != 1 || got[0] != "ResourceQuota cpu (2) should be less than limits.cpu (1)" {
		t.Errorf("%q", got)
	}
}
