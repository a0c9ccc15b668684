package apps

import (
	"testing"

	"sampan.dev/internal/api/apitest"

	appsv1 "k8s.io/api/apps/v1"
)

const plainStateful = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: s, namespace: ns}
spec:
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v}]}]}}
  volumeClaimTemplates: [{metadata: {name: v}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]
`

func TestStatefulSetDefaults(t *testing.T) {
	s := apitest.Made(t, StatefulSets(), plainStateful, "status: {replicas: 3}").(*appsv1.StatefulSet)
	s.Spec.Selector, s.Spec.Template.Spec.Containers = nil, nil
	const want = `{"replicas":1,"selector":null,"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":null,"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler"}},` +
		`"volumeClaimTemplates":[{"kind":"PersistentVolumeClaim","apiVersion":"v1","metadata":{"name":"v"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"volumeMode":"Filesystem"},"status":{"phase":"Pending"}}],` +
		`"serviceName":"","podManagementPolicy":"OrderedReady","updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":0,"maxUnavailable":1}},"revisionHistoryLimit":10,"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Retain","whenScaled":"Retain"}}`
	if got := apitest.JSON(t, s.Spec); got != want || s.Generation != 1 {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := apitest.JSON(t, s.Status); got != `{"replicas":0,"availableReplicas":0}` {
		t.Error(got)
	}
}

func TestStatefulSetValidate(t *testing.T) {
	apitest.Creates(t, StatefulSets(), plainStateful, []apitest.Change{
		{"spec: {podManagementPolicy: X}", `spec.podManagementPolicy: Invalid value: "X": must be 'OrderedReady' or 'Parallel'`},
		{"spec: {updateStrategy: {type: X}}", `spec.updateStrategy: Invalid value: {"Type":"X","RollingUpdate":null}: must be 'RollingUpdate' or 'OnDelete'`},
		{"spec: {updateStrategy: {type: OnDelete, rollingUpdate: {partition: 1}}}", `spec.updateStrategy.rollingUpdate: Invalid value: {"Partition":1,"MaxUnavailable":null}: only allowed for updateStrategy 'RollingUpdate'`},
		{"spec: {updateStrategy: {rollingUpdate: {partition: -1, maxUnavailable: 0%}}}", "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0\nspec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": cannot be 0"},
		{"spec: {persistentVolumeClaimRetentionPolicy: {whenScaled: X}}", `spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "X": supported values: "Retain", "Delete"`},
		{"spec: {ordinals: {start: -1}, serviceName: A_}", "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0\nspec.serviceName: Invalid value: \"A_\": a lowercase RFC 1123 label must consist…"},
		{"spec: {selector: {matchLabels: null}}", "spec.selector: Invalid value: {}: empty selector is invalid for statefulset"},
		{"spec: {selector: null}", "spec.selector: Required value\nspec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"},
		{"spec: {template: {spec: {restartPolicy: Never, activeDeadlineSeconds: 1, hostname: A_}}}", "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"\nspec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not Supported"},
		{"spec: {volumeClaimTemplates: [{metadata: {name: v}, spec: {accessModes: []}}]}", "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required\nspec.volumeClaimTemplates[0].spec.resources[storage]: Required value"},
	})
	apitest.Updates(t, StatefulSets(), plainStateful, "", []apitest.Change{
		{"spec: {replicas: 3, minReadySeconds: 3, template: {spec: {containers: [{name: c, image: other}]}}}", ""},
		{"spec: {serviceName: other, podManagementPolicy: Parallel}", "spec.serviceName: Invalid value: \"other\": field is immutable\nspec.podManagementPolicy: Invalid value: \"Parallel\": field is immutable"},
		{"spec: {volumeClaimTemplates: [{metadata: {name: v}, spec: {accessModes: [X]}}]}", `spec.volumeClaimTemplates: Invalid value: [{"name":"v","Spec":{"AccessModes":["X"],"Selector":null,…`},
	})
	apitest.Statuses(t, StatefulSets(), plainStateful, "", []apitest.Change{
		{"status: {replicas: 1, readyReplicas: 2, availableReplicas: 3}", "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas\nstatus.availableReplicas: Invalid value: 3: cannot be greater than status.replicas\nstatus.availableReplicas: Invalid value: 3: cannot be greater than status.readyReplicas"},
		{"status: {replicas: 1, collisionCount: 2}", ""},
		{"status: {replicas: 1, collisionCount: 1}", "status.collisionCount: Invalid value: 1: cannot be decremented"},
	})
}

func TestStatefulSetWarnings(t *testing.T) {
	s := apitest.Read(t, StatefulSets(), plainStateful, "spec: {revisionHistoryLimit: -1, volumeClaimTemplates: [{metadata: {name: v}, spec: {resources: {requests: {storage: 1500m}}}}]}")
	got := apitest.JSON(t, StatefulSets().Warnings(s, nil))
	if want := `["spec.volumeClaimTemplates[0].resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an integer","spec.revisionHistoryLimit: a negative value retains all historical revisions; a value \u003e= 0 is recommended"]`; got != want {
		t.Error(got)
	}
}

const plainDaemon = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: d, namespace: ns}
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}
`

func TestDaemonSet(t *testing.T) {
	const both = "may not be set when maxUnavailable is non-zero"
	d := apitest.Made(t, DaemonSets(), plainDaemon, "").(*appsv1.DaemonSet)
	if got := apitest.JSON(t, []any{d.Annotations, d.Spec.UpdateStrategy, d.Spec.RevisionHistoryLimit, d.Status}); got != `[{"deprecated.daemonset.template.generation":"1"},{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1,"maxSurge":0}},10,{"currentNumberScheduled":0,"numberMisscheduled":0,"desiredNumberScheduled":0,"numberReady":0}]` {
		t.Error(got)
	}
	apitest.Creates(t, DaemonSets(), plainDaemon, []apitest.Change{
		{"spec: {updateStrategy: {rollingUpdate: {maxSurge: 1}}}", "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: " + both},
		{"spec: {updateStrategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}}", "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"},
		{"spec: {updateStrategy: {type: X}}", `spec.updateStrategy: Unsupported value: {"Type":"X","RollingUpdate":null}: supported values: "RollingUpdate", "OnDelete"`},
		{"spec: {selector: null}", "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"},
		{"spec: {selector: {matchLabels: null}}", "spec.selector: Invalid value: {}: empty selector is invalid for daemonset"},
	})
	apitest.Updates(t, DaemonSets(), plainDaemon, "", []apitest.Change{
		{"spec: {selector: {matchLabels: {a: c}}, template: {metadata: {labels: {a: c}}}}", `spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable`},
	})
	apitest.Statuses(t, DaemonSets(), plainDaemon, "", []apitest.Change{
		{"status: {numberReady: -1}", "status.numberReady: Invalid value: -1: must be greater than or equal to 0"},
	})
	if err := DaemonSets().Accept(apitest.Read(t, DaemonSets(), plainDaemon, "")); err != nil {
		t.Error(err)
	}
	d.Annotations[appsv1.DeprecatedTemplateGeneration] = "x"
	if err := DaemonSets().Accept(d); err == nil || err.Error() != `strconv.ParseInt: parsing "x": invalid syntax` {
		t.Error(err)
	}
}

// The annotation counts changes of the template, and nobody else writes it.
func TestDaemonSetTemplateGeneration(t *testing.T) {
	k := DaemonSets()
	old := apitest.Made(t, k, plainDaemon, "").(*appsv1.DaemonSet)
	for _, c := range []struct {
		patch      string
		generation int64
		template   string
	}{
		{"metadata: {annotations: {deprecated.daemonset.template.generation: '9'}}", 1, "1"},
		{"spec: {minReadySeconds: 1}", 2, "1"},
		{"spec: {template: {spec: {containers: [{name: c, image: other}]}}}", 2, "2"},
	} {
		d := apitest.Read(t, k, plainDaemon, c.patch).(*appsv1.DaemonSet)
		k.PrepareUpdate(d, old)
		if got := d.Annotations[appsv1.DeprecatedTemplateGeneration]; d.Generation != c.generation || got != c.template {
			t.Errorf("%s: generation %d, of the template %s", c.patch, d.Generation, got)
		}
	}
}
