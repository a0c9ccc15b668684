package device

import (
	"testing"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestEvictionByTaint(t *testing.T) {
	added := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	none, no := resourcev1.DeviceTaintEffectNoExecute, resourcev1.DeviceTaintEffectNoSchedule
	for _, tc := range []struct {
		name        string
		effect      resourcev1.DeviceTaintEffect
		tolerations []resourcev1.DeviceToleration
		want        time.Duration // -1: never
	}{
		{"not tolerated", none, nil, 0},
		{"of another effect", no, nil, -1},
		{"tolerated for ever", none, []resourcev1.DeviceToleration{{Operator: resourcev1.DeviceTolerationOpExists, Effect: none}}, -1},
		{"tolerated for a while, the shortest counts", none, []resourcev1.DeviceToleration{
			{Key: "k", Value: "v", Effect: none, TolerationSeconds: new(int64(60))}, {Operator: resourcev1.DeviceTolerationOpExists, Effect: none, TolerationSeconds: new(int64(30))},
		}, 30 * time.Second},
		{"below zero is zero", none, []resourcev1.DeviceToleration{{Key: "k", Value: "v", Effect: none, TolerationSeconds: new(int64(-5))}}, 0},
		{"another value is tolerated", none, []resourcev1.DeviceToleration{{Key: "k", Value: "w", Effect: none}}, 0},
		{"tolerations without an effect do not count", none, []resourcev1.DeviceToleration{{Operator: resourcev1.DeviceTolerationOpExists}}, 0},
	} {
		got := evictionByTaint(tc.tolerations, &resourcev1.DeviceTaint{Key: "k", Value: "v", Effect: tc.effect, TimeAdded: &metav1.Time{Time: added}})
		if got.due != (tc.want >= 0) || got.due && got.at.Sub(added) != tc.want {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}

func TestRuleCondition(t *testing.T) {
	for _, tc := range []struct {
		effect resourcev1.DeviceTaintEffect
		is     effect
		want   string
	}{
		{"NoExecute", effect{}, "False NotStarted: "},
		{"NoExecute", effect{pods: 1, namespaces: 1}, "True PodsPendingEviction: 1 pod needs to be evicted in 1 namespace."},
		{"NoExecute", effect{pods: 3, namespaces: 2, evicted: 1}, "True PodsPendingEviction: 3 pods need to be evicted in 2 different namespaces. 1 pod evicted since starting the controller."},
		{"NoExecute", effect{evicted: 4}, "False Completed: 4 pods evicted since starting the controller."},
		{"NoSchedule", effect{}, "False OtherEffect: Eviction only happens for the NoExecute effect."},
		{"None", effect{published: 2, allocated: 1, pods: 1, namespaces: 1}, "False NoEffect: 2 published devices selected. 1 allocated device selected. 1 pod would be evicted in 1 namespace if the effect was NoExecute. This information will not be updated again. Recreate the DeviceTaintRule to trigger an update."},
	} {
		c := conditionOf(&resourcev1.DeviceTaintRule{Spec: resourcev1.DeviceTaintRuleSpec{Taint: resourcev1.DeviceTaint{Effect: tc.effect}}}, tc.is)
		if got := string(c.Status) + " " + c.Reason + ": " + c.Message; got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}
