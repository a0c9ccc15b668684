package autoscaling

import (
	"context"
	"fmt"
	"testing"

	"sampan.dev/internal/api/apitest"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

const (
	spec    = "metadata: {name: h, namespace: ns}\nspec: {maxReplicas: 5, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}}\n"
	plain   = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n" + spec
	plainV1 = "apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\n" + spec
)

func TestDefaults(t *testing.T) {
	h := apitest.Made(t, Autoscalers(), plain, "spec: {behavior: {}}").(*autoscalingv2.HorizontalPodAutoscaler)
	h.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{}
	const want = `{"scaleTargetRef":{"kind":"","name":""},"minReplicas":1,"maxReplicas":5,"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}],` +
		`"behavior":{"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[{"type":"Pods","value":4,"periodSeconds":15},{"type":"Percent","value":100,"periodSeconds":15}]},` +
		`"scaleDown":{"selectPolicy":"Max","policies":[{"type":"Percent","value":100,"periodSeconds":15}]}}}`
	if got := apitest.JSON(t, h.Spec); got != want || h.Generation != 1 {
		t.Errorf("%s, generation %d", got, h.Generation)
	}
	if got := apitest.JSON(t, h.Status); got != `{"desiredReplicas":0,"currentMetrics":null}` {
		t.Error(got)
	}
	up := apitest.Made(t, Autoscalers(), plain, "spec: {behavior: {scaleUp: {tolerance: '0.05', policies: [{type: Pods, value: 1, periodSeconds: 1}]}}}").(*autoscalingv2.HorizontalPodAutoscaler).Spec.Behavior.ScaleUp
	if got := apitest.JSON(t, up); got != `{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[{"type":"Pods","value":1,"periodSeconds":1}],"tolerance":"50m"}` {
		t.Error(got)
	}
}

var bad = []apitest.Change{
	{"spec: {minReplicas: 0}", "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas"},
	{"spec: {minReplicas: -1, maxReplicas: 0}", "spec.minReplicas: Invalid value: -1: must be greater than or equal to 0\nspec.maxReplicas: Required value"},
	{"spec: {maxReplicas: -2}", "spec.maxReplicas: Invalid value: -2: must be greater than or equal to `minReplicas`\nspec.maxReplicas: Invalid value: -2: must be greater than or equal to 1"},
	{"spec: {scaleTargetRef: {apiVersion: v1, kind: a/b, name: ''}}", "spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/'\nspec.scaleTargetRef.name: Required value\nspec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group"},
	{"spec: {scaleTargetRef: {apiVersion: v1, kind: ReplicationController}}", ""},
}

func TestValidate(t *testing.T) {
	metric := func(m string) string { return "spec: {metrics: [" + m + "]}" }
	apitest.Creates(t, Autoscalers(), plain, append(bad, []apitest.Change{
		{"spec: {minReplicas: 0, metrics: [{type: External, external: {metric: {name: m}, target: {type: Value, value: 1}}}]}", ""},
		{metric("{}"), "spec.metrics[0].type: Required value: must specify a metric source type\nspec.metrics[0].type: Unsupported value: \"\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"\nspec.metrics[0].type: Unsupported value: \"\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\""},
		{metric("{type: Pods, resource: {name: cpu, target: {type: Utilization, averageUtilization: 0}}}"), "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0\nspec.metrics[0].pods: Required value: must populate information for the given metric source"},
		{metric("{type: Resource, resource: {name: cpu, target: {averageUtilization: 1, averageValue: 1}}, pods: {metric: {name: m}, target: {}}}"), "spec.metrics[0].pods.target.type: Required value: must specify a metric target type\nspec.metrics[0].pods.target.type: Invalid value: \"\": must be either Utilization, Value, or AverageValue\nspec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue\nspec.metrics[0].pods: Forbidden: must populate the given metric source only"},
		{"spec: {behavior: {scaleUp: {selectPolicy: X, stabilizationWindowSeconds: 3601, policies: [{type: X, value: 0, periodSeconds: 1801}]}}}", "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600\nspec.behavior.scaleUp.selectPolicy: Unsupported value: \"X\": supported values: \"Disabled\", \"Max\", \"Min\"\nspec.behavior.scaleUp.policies[0].type: Unsupported value: \"X\": supported values: \"Percent\", \"Pods\"\nspec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero\nspec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800"},
	}...))
	apitest.Statuses(t, Autoscalers(), plain, "", []apitest.Change{{"status: {desiredReplicas: -1}", "status.desiredReplicas: Invalid value: -1: must be greater than or equal to 0"}})
}

// What the first version says is checked by the rules of the second.
func TestValidateV1(t *testing.T) {
	k := AutoscalersV1()
	for _, c := range bad {
		errs := k.Validate(apitest.Read(t, k, plainV1, c[0]))
		var got string
		for i, e := range errs {
			if i > 0 {
				got += "\n"
			}
			got += e.Error()
		}
		if got != c[1] {
			t.Errorf("%s:\ngot  %s\nwant %s", c[0], got, c[1])
		}
	}
}

// Everything that the second version can say survives being read and written through the first.
func TestRoundTrip(t *testing.T) {
	full := apitest.Read(t, Autoscalers(), plain, `
metadata: {annotations: {a: b}}
spec:
  metrics:
  - {type: Pods, pods: {metric: {name: m, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, averageValue: "10"}}}
  - {type: Object, object: {describedObject: {apiVersion: v1, kind: Service, name: s}, metric: {name: m}, target: {type: Value, value: "3"}}}
  - {type: External, external: {metric: {name: m}, target: {type: AverageValue, averageValue: 3k}}}
  - {type: ContainerResource, containerResource: {name: memory, container: c, target: {type: AverageValue, averageValue: 1Gi}}}
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
  behavior: {scaleUp: {tolerance: "0.1"}}
status:
  currentMetrics: [{type: Resource, resource: {name: cpu, current: {averageUtilization: 3, averageValue: "1"}}}]
  conditions: [{type: AbleToScale, status: "True", lastTransitionTime: null, reason: R}]
`)
	view := AutoscalersV1().View
	v1, err := view.To(context.Background(), full)
	if err != nil {
		t.Fatal(err)
	}
	h := v1.(*autoscalingv1.HorizontalPodAutoscaler)
	if *h.Spec.TargetCPUUtilizationPercentage != 50 || *h.Status.CurrentCPUUtilizationPercentage != 3 || len(h.Annotations) != 5 || h.Annotations["a"] != "b" {
		t.Error(apitest.JSON(t, h))
	}
	const behavior = `{"ScaleUp":{"StabilizationWindowSeconds":0,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15},{"Type":"Percent","Value":100,"PeriodSeconds":15}],"Tolerance":"100m"},` +
		`"ScaleDown":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max","Policies":[{"Type":"Percent","Value":100,"PeriodSeconds":15}],"Tolerance":null}}`
	if got := h.Annotations[keptBehavior]; got != behavior {
		t.Error(got)
	}
	back, err := view.From(context.Background(), v1)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := apitest.JSON(t, back), apitest.JSON(t, full); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Annotations that stand for fields are not kept where there are the fields.
func TestKeptAnnotations(t *testing.T) {
	h := apitest.Read(t, Autoscalers(), plain, "metadata: {annotations: {autoscaling.alpha.kubernetes.io/metrics: x, a: b}}")
	if got := apitest.JSON(t, h.GetAnnotations()); got != `{"a":"b"}` {
		t.Error(got)
	}
	v1 := apitest.Read(t, AutoscalersV1(), plainV1, "metadata: {annotations: {autoscaling.alpha.kubernetes.io/conditions: 'not JSON'}}").(*autoscalingv1.HorizontalPodAutoscaler)
	if len(v1.Annotations) != 0 || *v1.Spec.TargetCPUUtilizationPercentage != 80 {
		t.Error(apitest.JSON(t, v1))
	}
}

func TestRow(t *testing.T) {
	for _, c := range []struct{ patch, want string }{
		{"", "Deployment/d cpu: <unknown>/80% 1 5 0"},
		{"status: {currentReplicas: 2, currentMetrics: [{type: Resource, resource: {name: cpu, current: {averageUtilization: 7}}}]}", "Deployment/d cpu: 7%/80% 1 5 2"},
		{"spec: {metrics: [{type: Pods, pods: {metric: {name: m}, target: {averageValue: 3}}}, {type: External, external: {metric: {name: m}, target: {averageValue: 4}}}, {type: X}]}", "Deployment/d <unknown>/3, <unknown>/4 (avg) + 1 more... 1 5 0"},
		{"spec: {metrics: [{type: Object, object: {metric: {name: m}, describedObject: {kind: a, name: b}, target: {value: 3}}}]}\nstatus: {currentMetrics: [{type: Object, object: {metric: {name: m}, describedObject: {kind: a, name: b}, current: {value: 1}}}]}", "Deployment/d 1/3 1 5 0"},
	} {
		row := Autoscalers().Row(apitest.Read(t, Autoscalers(), plain, c.patch))
		if got := fmt.Sprintln(row[1:6]...); got != c.want+"\n" {
			t.Errorf("%s: %s", c.patch, got)
		}
	}
}
