package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// podTemplate is a template of pods that go to the scene's nodes.
func podTemplate(app string, annotations object, more object) object {
	spec := object{"nodeSelector": object{"scene": "SCENE"}, "terminationGracePeriodSeconds": 1, "tolerations": list{object{"key": "scene", "operator": "Exists"}},
		"containers": list{object{"name": "main", "image": "hollow/app:1", "resources": object{"requests": object{"cpu": "10m", "memory": "16Mi"}}}}}
	for k, v := range more {
		if l, ok := v.(list); ok && k == "tolerations" {
			v = append(spec[k].(list), l...)
		}
		spec[k] = v
	}
	meta := object{"labels": object{"app": app}}
	if len(annotations) > 0 {
		meta["annotations"] = annotations
	}
	return object{"metadata": meta, "spec": spec}
}

// onePerNode has the pods of an app be on different nodes, as far as there are any.
func onePerNode(app string) list {
	return list{object{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector(app)}}
}

func deployment(app string, replicas int) object {
	return object{"metadata": object{"name": app}, "spec": object{"replicas": replicas, "selector": selector(app), "template": podTemplate(app, nil, nil)}}
}

func selector(app string) object { return object{"matchLabels": object{"app": app}} }

func image(n int) string {
	return fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"hollow/app:%d","resources":{"requests":{"cpu":"10m","memory":"16Mi"}}}]}}}}`, n)
}

func ready(yes bool) string {
	if yes {
		return `{"spec":{"template":{"metadata":{"annotations":{"hollow/ready":null}}}}}`
	}
	return `{"spec":{"template":{"metadata":{"annotations":{"hollow/ready":"false"}}}}}`
}

func replicas(n int) string { return fmt.Sprintf(`{"spec":{"replicas":%d}}`, n) }

func deploymentScene(d *dice) []step {
	spec := object{"replicas": d.IntN(5), "selector": selector("web"), "template": podTemplate("web", nil, nil)}
	if d.chance(30) {
		spec["strategy"] = object{"type": "Recreate"}
	} else if d.chance(60) {
		surge := pick[any](d, 0, 1, 2, "25%", "50%")
		spec["strategy"] = object{"type": "RollingUpdate", "rollingUpdate": object{"maxSurge": surge, "maxUnavailable": pick[any](d, 1, 2, "34%")}}
	}
	if d.chance(40) {
		spec["revisionHistoryLimit"] = d.IntN(3)
	}
	if d.chance(30) {
		spec["minReadySeconds"] = 1
	}
	stuck := d.chance(40)
	if stuck {
		spec["progressDeadlineSeconds"] = 5
	}
	steps := []step{makes("deployments", func() object { return object{"metadata": object{"name": "web"}, "spec": spec} }), settles()}
	for n := range 1 + d.IntN(4) {
		switch d.IntN(8) {
		case 0, 1:
			steps = append(steps, patches("deployments", "web", image(n+2)))
		case 2:
			steps = append(steps, patches("deployments", "web", replicas(d.IntN(6))))
		case 3:
			steps = append(steps, patches("deployments", "web", ready(d.chance(40))))
			if stuck {
				steps = append(steps, waits(8*time.Second))
			}
		case 4:
			steps = append(steps, patches("deployments", "web", fmt.Sprintf(`{"spec":{"paused":%v}}`, d.chance(60))))
		case 5:
			steps = append(steps, deletesPod("web"))
		case 6:
			steps = append(steps, onPod("web", "relabel", func(ctx context.Context, st *stage, name string) error {
				return st.patch(ctx, "pods", name, `{"metadata":{"labels":{"app":"other"}}}`)
			}))
		case 7:
			steps = append(steps, patches("deployments", "web", `{"metadata":{"labels":{"l":"1"},"annotations":{"a":"1"}},"spec":{"template":{"metadata":{"labels":{"v":"`+strconv.Itoa(n)+`"}}}}}`))
		}
		steps = append(steps, settles())
	}
	return append(steps, perhapsRemoves(d, 30, "deployments", "web")...)
}

// onPod does something to the pod of an app that was made first; which of several is all the same.
func onPod(app, what string, do func(context.Context, *stage, string) error) step {
	return step{what + " a pod of " + app, func(ctx context.Context, st *stage) error {
		all := st.side.list(st, "pods")
		slices.SortFunc(all, func(a, b *unstructured.Unstructured) int {
			return cmp.Or(cmp.Compare(a.GetGenerateName(), b.GetGenerateName()), cmp.Compare(a.GetName(), b.GetName()))
		})
		for _, o := range all {
			if o.GetLabels()["app"] == app && o.GetDeletionTimestamp() == nil {
				return do(ctx, st, o.GetName())
			}
		}
		return fmt.Errorf("there is none")
	}}
}

// deletesPod deletes a pod of an app.
func deletesPod(app string) step {
	return onPod(app, "delete", func(ctx context.Context, st *stage, name string) error {
		return st.remove(ctx, "pods", name, background)
	})
}

// propagation is any of the three ways in which what an object owns is dealt with.
func propagation(d *dice) metav1.DeletionPropagation {
	return pick(d, metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan)
}

// perhapsRemoves deletes an object in one of the three ways, in so many percent of scenes.
func perhapsRemoves(d *dice, percent int, resource, name string) []step {
	if !d.chance(percent) {
		return nil
	}
	return []step{removes(resource, name, propagation(d)), settles()}
}

func statefulSetScene(d *dice) []step {
	spec := object{"replicas": d.IntN(5), "serviceName": "db", "selector": selector("db"), "template": podTemplate("db", nil, nil)}
	if d.chance(40) {
		spec["podManagementPolicy"] = "Parallel"
	}
	if d.chance(25) {
		spec["updateStrategy"] = object{"type": "OnDelete"}
	} else if d.chance(50) {
		spec["updateStrategy"] = object{"type": "RollingUpdate", "rollingUpdate": object{"partition": d.IntN(4)}}
	}
	if d.chance(30) {
		spec["ordinals"] = object{"start": d.IntN(4)}
	}
	if d.chance(30) {
		spec["minReadySeconds"] = 1
	}
	if d.chance(30) {
		spec["revisionHistoryLimit"] = d.IntN(2)
	}
	if d.chance(50) {
		spec["volumeClaimTemplates"] = list{object{"metadata": object{"name": "data"}, "spec": object{"accessModes": list{"ReadWriteOnce"}, "storageClassName": "none-SCENE", "resources": object{"requests": object{"storage": "1Gi"}}}}}
		if d.chance(60) {
			spec["persistentVolumeClaimRetentionPolicy"] = object{"whenDeleted": pick(d, "Retain", "Delete"), "whenScaled": pick(d, "Retain", "Delete")}
		}
	}
	steps := []step{}
	for i := range 6 {
		if spec["volumeClaimTemplates"] != nil {
			steps = append(steps, volume(fmt.Sprintf("v%d", i), "none-SCENE", "Retain", "1Gi"))
		}
	}
	steps = append(steps, makes("statefulsets", func() object { return object{"metadata": object{"name": "db"}, "spec": spec} }), settles())
	for n := range 1 + d.IntN(4) {
		switch d.IntN(6) {
		case 0, 1:
			steps = append(steps, patches("statefulsets", "db", image(n+2)))
		case 2:
			steps = append(steps, patches("statefulsets", "db", replicas(d.IntN(6))))
		case 3:
			steps = append(steps, patches("statefulsets", "db", ready(d.chance(40))))
		case 4:
			steps = append(steps, deletesPod("db"))
		case 5:
			steps = append(steps, patches("statefulsets", "db", fmt.Sprintf(`{"spec":{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":%d}}}}`, d.IntN(3))))
		}
		steps = append(steps, settles())
	}
	return append(steps, perhapsRemoves(d, 30, "statefulsets", "db")...)
}

func daemonSetScene(d *dice) []step {
	template := podTemplate("agent", nil, nil)
	if d.chance(40) {
		template["spec"].(object)["nodeSelector"] = object{"scene": "SCENE", "agent": "yes"}
	}
	spec := object{"selector": selector("agent"), "template": template}
	if d.chance(30) {
		spec["updateStrategy"] = object{"type": "OnDelete"}
	} else if d.chance(60) {
		surge, unavailable := any(0), pick[any](d, 1, 2, "50%")
		if d.chance(40) {
			surge, unavailable = pick[any](d, 1, "50%"), 0
		}
		spec["updateStrategy"] = object{"type": "RollingUpdate", "rollingUpdate": object{"maxSurge": surge, "maxUnavailable": unavailable}}
	}
	if d.chance(30) {
		spec["minReadySeconds"] = 1
	}
	if d.chance(30) {
		spec["revisionHistoryLimit"] = d.IntN(2)
	}
	steps := []step{makes("daemonsets", func() object { return object{"metadata": object{"name": "agent"}, "spec": spec} }), settles()}
	for n := range 1 + d.IntN(4) {
		switch d.IntN(7) {
		case 0, 1:
			steps = append(steps, patches("daemonsets", "agent", image(n+2)))
		case 2:
			steps = append(steps, patches("nodes", fmt.Sprint("SCENE.n", d.IntN(nodes)), fmt.Sprintf(`{"metadata":{"labels":{"agent":%s}}}`, pick(d, `"yes"`, "null"))))
		case 3:
			steps = append(steps, patches("daemonsets", "agent", ready(d.chance(40))))
		case 4:
			steps = append(steps, deletesPod("agent"))
		case 5:
			steps = append(steps, step{"another node", func(ctx context.Context, st *stage) error { return st.join(ctx, nodes+n) }})
		case 6:
			steps = append(steps, removes("nodes", fmt.Sprint("SCENE.n", d.IntN(nodes)), background))
		}
		steps = append(steps, settles())
	}
	return append(steps, perhapsRemoves(d, 30, "daemonsets", "agent")...)
}

func jobScene(d *dice) []step {
	completions := 1 + d.IntN(5)
	spec := object{"completions": completions, "parallelism": 1 + d.IntN(4), "backoffLimit": d.IntN(3)}
	annotations := object{"hollow/exit": "0"}
	indexed := d.chance(55)
	if indexed {
		spec["completionMode"] = "Indexed"
		annotations["hollow/fail"] = pick(d, "", "", "0", "1", "0,2")
		switch {
		case d.chance(30):
			delete(spec, "backoffLimit")
			spec["backoffLimitPerIndex"] = d.IntN(2)
			if d.chance(50) {
				spec["maxFailedIndexes"] = 1
			}
		case d.chance(30):
			spec["successPolicy"] = object{"rules": list{pick[any](d, object{"succeededIndexes": "0"}, object{"succeededCount": 1})}}
		}
	} else if d.chance(35) {
		annotations["hollow/exit"] = pick(d, "1", "42")
	}
	if d.chance(30) {
		rule := pick[any](d, object{"action": "FailJob", "onExitCodes": object{"operator": "In", "values": list{1, 42}}},
			object{"action": "Ignore", "onExitCodes": object{"operator": "In", "values": list{2}}},
			object{"action": "Count", "onExitCodes": object{"operator": "NotIn", "values": list{0}}})
		spec["podFailurePolicy"] = object{"rules": list{rule}}
	}
	if d.chance(20) {
		spec["ttlSecondsAfterFinished"] = 1 + d.IntN(2)
	}
	runs := d.chance(25)
	if runs {
		delete(annotations, "hollow/exit")
		delete(annotations, "hollow/fail")
		if d.chance(50) {
			spec["activeDeadlineSeconds"] = 3
		}
	}
	suspended := d.chance(25)
	if suspended {
		spec["suspend"] = true
	}
	if d.chance(20) {
		spec["podReplacementPolicy"] = "Failed"
	}
	spec["template"] = podTemplate("job", annotations, object{"restartPolicy": "Never"})
	steps := []step{makes("jobs", func() object { return object{"metadata": object{"name": "j"}, "spec": spec} }), settles()}
	if suspended {
		steps = append(steps, patches("jobs", "j", `{"spec":{"suspend":false}}`), settles())
	}
	if runs && spec["activeDeadlineSeconds"] == nil {
		switch d.IntN(4) {
		case 0:
			steps = append(steps, patches("jobs", "j", `{"spec":{"suspend":true}}`))
		case 1:
			steps = append(steps, patches("jobs", "j", fmt.Sprintf(`{"spec":{"parallelism":%d}}`, d.IntN(5))))
		case 2:
			steps = append(steps, deletesPod("job"))
		case 3:
			steps = append(steps, removes("jobs", "j", propagation(d)))
		}
		return append(steps, settles())
	}
	return append(steps, awaits("the end of the job", func(st *stage) bool {
		j := st.get("jobs", "j")
		return j == nil || strings.Contains(text(asObject(j["status"])["conditions"]), `"type":"Complete"`) || strings.Contains(text(asObject(j["status"])["conditions"]), `"type":"Failed"`)
	}), settles())
}

func cronJobScene(d *dice) []step {
	spec := object{"schedule": "* * * * *", "concurrencyPolicy": pick(d, "Allow", "Forbid", "Replace"), "successfulJobsHistoryLimit": d.IntN(2), "failedJobsHistoryLimit": d.IntN(2),
		"jobTemplate": object{"metadata": object{"labels": object{"cron": "yes"}}, "spec": object{"backoffLimit": 0, "template": podTemplate("cron", object{"hollow/exit": pick(d, "0", "0", "1")}, object{"restartPolicy": "Never"})}}}
	if d.chance(30) {
		spec["timeZone"] = pick(d, "Etc/UTC", "Europe/Berlin")
	}
	if d.chance(30) {
		spec["startingDeadlineSeconds"] = 30
	}
	ran := func(st *stage) bool {
		c := st.get("cronjobs", "c")
		return asObject(c["status"])["lastScheduleTime"] != nil && asObject(c["status"])["active"] == nil
	}
	steps := []step{makes("cronjobs", func() object { return object{"metadata": object{"name": "c"}, "spec": spec} }), awaits("a run", ran), patches("cronjobs", "c", `{"spec":{"suspend":true}}`), settles()}
	if d.chance(40) {
		steps = append(steps, removes("cronjobs", "c", pick(d, metav1.DeletePropagationBackground, metav1.DeletePropagationOrphan)), settles())
	}
	return steps
}

func autoscalerScene(d *dice) []step {
	low := 1 + d.IntN(3)
	spec := object{"minReplicas": low, "maxReplicas": low + d.IntN(3), "scaleTargetRef": object{"apiVersion": "apps/v1", "kind": "Deployment", "name": pick(d, "web", "web", "web", "nobody")},
		"metrics": list{object{"type": "External", "external": object{"metric": object{"name": "queue"}, "target": object{"type": "Value", "value": "10"}}}}}
	count := pick(d, 0, 1, 1, 5)
	return []step{
		makes("deployments", func() object { return deployment("web", count) }), settles(),
		makes("horizontalpodautoscalers", func() object { return object{"metadata": object{"name": "h"}, "spec": spec} }),
		waits(20 * time.Second), settles(),
	}
}
