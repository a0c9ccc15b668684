package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func serviceScene(d *dice) []step {
	port := object{"port": 80, "targetPort": pick[any](d, 8080, "http")}
	if d.chance(40) {
		port["name"] = "web"
	}
	spec := object{"selector": object{"app": "web"}, "ports": list{port}}
	if d.chance(30) {
		spec["clusterIP"] = "None"
	}
	if d.chance(30) {
		spec["publishNotReadyAddresses"] = true
	}
	if d.chance(30) {
		spec["trafficDistribution"] = pick(d, "PreferSameNode", "PreferSameZone")
	}
	dep := deployment("web", 1+d.IntN(3))
	main := dep["spec"].(object)["template"].(object)["spec"].(object)["containers"].(list)[0].(object)
	if d.chance(70) {
		main["ports"] = list{object{"name": "http", "containerPort": 8080}}
	}
	steps := []step{makes("services", func() object {
		return object{"metadata": object{"name": "s", "labels": object{"l": "1"}}, "spec": spec}
	}),
		makes("deployments", func() object { return object{"metadata": dep["metadata"], "spec": dep["spec"]} }), settles()}
	for range 1 + d.IntN(3) {
		switch d.IntN(6) {
		case 0:
			steps = append(steps, patches("deployments", "web", replicas(d.IntN(5))))
		case 1:
			steps = append(steps, patches("deployments", "web", ready(d.chance(40))))
		case 2:
			steps = append(steps, patches("services", "s", pick(d, `{"spec":{"selector":{"app":"other"}}}`, `{"spec":{"selector":null}}`, `{"metadata":{"labels":{"l":"2","m":"3"}}}`)))
		case 3:
			steps = append(steps, patches("services", "s", fmt.Sprintf(`{"spec":{"publishNotReadyAddresses":%v}}`, d.chance(50))))
		case 4: // a Service without pods, whose endpoints somebody else keeps
			steps = append(steps, makes("services", func() object {
				return object{"metadata": object{"name": "by-hand"}, "spec": object{"ports": list{object{"port": 80}}}}
			}),
				makes("endpoints", func() object {
					return object{"metadata": object{"name": "by-hand", "labels": object{"mine": "yes"}}, "subsets": list{object{"addresses": list{object{"ip": "10.9.9.1"}, object{"ip": "10.9.9.2"}}, "notReadyAddresses": list{object{"ip": "10.9.9.3"}}, "ports": list{object{"port": 80}}}}}
				}))
		case 5:
			steps = append(steps, removes("services", "s", background))
		}
		steps = append(steps, settles())
	}
	return steps
}

// garbageScene makes a tree of ConfigMaps, each owned by one or two before it, and deletes the root.
func garbageScene(d *dice) []step {
	n := 3 + d.IntN(5)
	var steps []step
	for i := range n {
		steps = append(steps, step{fmt.Sprintf("configmap c%d", i), nil})
		owners, block := []int{}, d.chance(60)
		if i > 0 {
			owners = append(owners, d.IntN(i))
		}
		if i > 1 && d.chance(30) {
			if second := d.IntN(i); second != owners[0] {
				owners = append(owners, second)
			}
		}
		finalizer, ghost := i > 0 && d.chance(10), i > 0 && d.chance(10)
		steps[i].say += fmt.Sprint(" of ", owners, " blocks ", block, " finalizer ", finalizer, " and of one that is not ", ghost)
		steps[i].do = func(ctx context.Context, st *stage) error {
			meta := object{"name": fmt.Sprintf("c%d", i)}
			var refs list
			for _, o := range owners {
				name := fmt.Sprintf("c%d", o)
				if err := st.until(ctx, name, func() bool { return st.get("configmaps", name) != nil }); err != nil {
					return err
				}
				refs = append(refs, object{"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": asObject(st.get("configmaps", name)["metadata"])["uid"], "blockOwnerDeletion": block})
			}
			if ghost {
				refs = append(refs, object{"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "00000000-0000-4000-8000-000000000000"})
			}
			if refs != nil {
				meta["ownerReferences"] = refs
			}
			if finalizer {
				meta["finalizers"] = list{"example.com/stays"}
			}
			return st.make(ctx, "configmaps", object{"metadata": meta})
		}
	}
	steps = append(steps, settles(), removes("configmaps", "c0", propagation(d)), settles())
	if d.chance(50) {
		steps = append(steps, removes("configmaps", fmt.Sprintf("c%d", 1+d.IntN(n-1)), propagation(d)), settles())
	}
	return steps
}

func budgetScene(d *dice) []step {
	n := 1 + d.IntN(5)
	spec := object{"selector": selector("web")}
	if d.chance(50) {
		spec["minAvailable"] = pick[any](d, 0, 1, 2, "50%", "100%")
	} else {
		spec["maxUnavailable"] = pick[any](d, 0, 1, "25%", "60%")
	}
	if d.chance(30) {
		spec["unhealthyPodEvictionPolicy"] = pick(d, "AlwaysAllow", "IfHealthyBudget")
	}
	steps := []step{makes("poddisruptionbudgets", func() object { return object{"metadata": object{"name": "b"}, "spec": spec} }),
		makes("deployments", func() object { return deployment("web", n) }), settles()}
	if d.chance(30) {
		steps = append(steps, patches("deployments", "web", ready(false)), settles())
	}
	for range 1 + d.IntN(3) {
		steps = append(steps, onPod("web", "evict", func(ctx context.Context, st *stage, name string) error { return st.evict(ctx, name) }), settles())
		if d.chance(40) {
			steps = append(steps, patches("deployments", "web", replicas(d.IntN(6))), settles())
		}
	}
	if d.chance(30) {
		steps = append(steps, makes("poddisruptionbudgets", func() object {
			return object{"metadata": object{"name": "second"}, "spec": object{"selector": selector("web"), "maxUnavailable": 1}}
		}), settles(), onPod("web", "evict", func(ctx context.Context, st *stage, name string) error { return st.evict(ctx, name) }), settles())
	}
	return steps
}

func quotaScene(d *dice) []step {
	hard := object{"pods": "3", "requests.cpu": "1", "requests.memory": "100Mi", "services": "2", "services.nodeports": "1", "configmaps": "4", "count/deployments.apps": "2", "secrets": "3", "persistentvolumeclaims": "2", "requests.storage": "3Gi"}
	for key := range hard {
		if d.chance(30) {
			hard[key] = "1"
		}
	}
	spec := object{"hard": hard}
	if d.chance(30) {
		spec = object{"hard": object{"pods": "2"}, "scopes": list{pick(d, "BestEffort", "NotBestEffort", "Terminating", "NotTerminating")}}
	}
	count, nodePorts := 1+d.IntN(5), d.IntN(3)
	steps := []step{makes("resourcequotas", func() object { return object{"metadata": object{"name": "q"}, "spec": spec} }), settles(),
		makes("deployments", func() object { return deployment("web", count) }), waits(3 * time.Second), settles()}
	for i := range nodePorts {
		steps = append(steps, makes("services", func() object {
			return object{"metadata": object{"name": fmt.Sprintf("np%d", i)}, "spec": object{"type": "NodePort", "ports": list{object{"port": 80}}}}
		}))
	}
	for i := range 1 + d.IntN(4) {
		steps = append(steps, makes("configmaps", func() object { return object{"metadata": object{"name": fmt.Sprintf("c%d", i)}} }))
	}
	if d.chance(50) {
		size := pick(d, "1Gi", "2Gi", "5Gi")
		steps = append(steps, makes("persistentvolumeclaims", func() object {
			return object{"metadata": object{"name": "p"}, "spec": object{"accessModes": list{"ReadWriteOnce"}, "storageClassName": "none-SCENE", "resources": object{"requests": object{"storage": size}}}}
		}))
	}
	steps = append(steps, settles())
	if d.chance(60) {
		steps = append(steps, patches("deployments", "web", replicas(d.IntN(3))), settles())
	}
	if d.chance(40) {
		steps = append(steps, patches("resourcequotas", "q", `{"spec":{"hard":{"pods":"10"}}}`), settles())
	}
	return steps
}

// namespaceScene deletes the namespace while it holds this and that.
func namespaceScene(d *dice) []step {
	steps := []step{makes("deployments", func() object { return deployment("web", 1) }), makes("configmaps", func() object {
		return object{"metadata": object{"name": "held", "finalizers": list{"example.com/stays"}}}
	}), makes("services", func() object {
		return object{"metadata": object{"name": "s"}, "spec": object{"ports": list{object{"port": 80}}, "selector": object{"app": "web"}}}
	}), settles()}
	if d.chance(50) {
		steps = append(steps, makes("secrets", func() object {
			return object{"metadata": object{"name": "also", "finalizers": list{"example.com/too"}}}
		}))
	}
	steps = append(steps, step{"delete the namespace", func(ctx context.Context, st *stage) error {
		return st.told(st.side.of("namespaces", "").Delete(ctx, st.ns, metav1.DeleteOptions{}))
	}}, waits(3*time.Second), settles())
	if d.chance(40) {
		steps = append(steps, patches("secrets", "also", `{"metadata":{"finalizers":null}}`), waits(20*time.Second), settles())
	}
	return append(steps, makes("configmaps", func() object { return object{"metadata": object{"name": "late"}} }))
}

func volume(name, class, reclaim, size string) step {
	return makes("persistentvolumes", func() object {
		return object{"metadata": object{"name": "SCENE." + name, "labels": object{"v": name}}, "spec": object{"accessModes": list{"ReadWriteOnce"}, "capacity": object{"storage": size},
			"storageClassName": class, "persistentVolumeReclaimPolicy": reclaim, "hostPath": object{"path": "/tmp/hollow"}}}
	})
}

func volumeScene(d *dice) []step {
	steps := []step{}
	const class = "manual-SCENE"
	for i := range 1 + d.IntN(3) {
		steps = append(steps, volume(fmt.Sprintf("v%d", i), class, pick(d, "Retain", "Retain", "Delete"), pick(d, "1Gi", "2Gi", "5Gi")))
	}
	claims := 1 + d.IntN(3)
	for i := range claims {
		spec := object{"accessModes": list{pick(d, "ReadWriteOnce", "ReadWriteOnce", "ReadWriteMany")}, "storageClassName": class, "resources": object{"requests": object{"storage": pick(d, "1Gi", "2Gi", "9Gi")}}}
		if d.chance(20) {
			spec["volumeName"] = "SCENE.v0"
		} else if d.chance(20) {
			spec["selector"] = object{"matchLabels": object{"v": pick(d, "v0", "v9")}}
		}
		steps = append(steps, makes("persistentvolumeclaims", func() object { return object{"metadata": object{"name": fmt.Sprintf("p%d", i)}, "spec": spec} }), settles())
	}
	if d.chance(50) {
		steps = append(steps, makes("pods", func() object {
			t := podTemplate("user", nil, object{"volumes": list{object{"name": "d", "persistentVolumeClaim": object{"claimName": "p0"}}}})
			t["metadata"].(object)["name"] = "user"
			return t
		}), settles())
	}
	steps = append(steps, removes("persistentvolumeclaims", fmt.Sprintf("p%d", d.IntN(claims)), background), settles())
	switch d.IntN(3) {
	case 0:
		steps = append(steps, removes("persistentvolumes", "SCENE.v0", background), settles())
	case 1:
		steps = append(steps, patches("persistentvolumes", "SCENE.v0", `{"spec":{"claimRef":null}}`), settles())
	case 2:
		steps = append(steps, deletesPod("user"), settles())
	}
	return steps
}

func taintScene(d *dice) []step {
	more := list{}
	if d.chance(50) {
		toleration := object{"key": "bad", "operator": "Exists", "effect": "NoExecute"}
		if d.chance(70) {
			toleration["tolerationSeconds"] = d.IntN(6)
		}
		more = append(more, toleration)
	}
	dep := object{"metadata": object{"name": "web"}, "spec": object{"replicas": 3, "selector": selector("web"), "template": podTemplate("web", nil, object{"tolerations": more, "topologySpreadConstraints": onePerNode("web")})}}
	effect := pick(d, "NoExecute", "NoExecute", "NoSchedule", "PreferNoSchedule")
	bad := fmt.Sprintf(`{"spec":{"taints":[{"key":"scene","value":"SCENE","effect":"NoSchedule"},{"key":"bad","value":"v","effect":"%s"}]}}`, effect)
	steps := []step{makes("deployments", func() object { return object{"metadata": dep["metadata"], "spec": dep["spec"]} }), settles()}
	for i := range 1 + d.IntN(nodes) {
		steps = append(steps, patches("nodes", fmt.Sprint("SCENE.n", i), bad))
	}
	steps = append(steps, waits(7*time.Second), settles())
	if d.chance(50) {
		steps = append(steps, patches("nodes", "SCENE.n0", `{"spec":{"taints":[{"key":"scene","value":"SCENE","effect":"NoSchedule"}]}}`), settles())
	}
	if d.chance(30) {
		steps = append(steps, patches("nodes", "SCENE.n1", `{"spec":{"unschedulable":true}}`), settles())
	}
	return steps
}

func nodeLossScene(d *dice) []step {
	seconds := d.IntN(5)
	more := list{object{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds},
		object{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}}
	template := podTemplate("web", nil, object{"tolerations": more})
	steps := []step{}
	if d.chance(50) {
		template["spec"].(object)["topologySpreadConstraints"] = onePerNode("web")
		dep := object{"metadata": object{"name": "web"}, "spec": object{"replicas": 3, "selector": selector("web"), "template": template}}
		steps = append(steps, makes("deployments", func() object { return object{"metadata": dep["metadata"], "spec": dep["spec"]} }))
	} else {
		steps = append(steps, makes("daemonsets", func() object {
			return object{"metadata": object{"name": "web"}, "spec": object{"selector": selector("web"), "template": template}}
		}))
	}
	steps = append(steps, makes("services", func() object {
		return object{"metadata": object{"name": "s"}, "spec": object{"selector": object{"app": "web"}, "ports": list{object{"port": 80}}}}
	}), settles(), step{"node n0 falls silent", func(_ context.Context, st *stage) error { st.silence(0, true); return nil }},
		awaits("n0 is unknown", func(st *stage) bool {
			n := st.get("nodes", st.nodeName(0))
			return strings.Contains(text(asObject(n["status"])["conditions"]), `"Unknown"`)
		}), waits(8*time.Second), settles())
	switch d.IntN(3) {
	case 0:
		steps = append(steps, step{"node n0 is heard again", func(_ context.Context, st *stage) error { st.silence(0, false); return nil }}, waits(12*time.Second), settles())
	case 1:
		steps = append(steps, removes("nodes", "SCENE.n0", background), waits(5*time.Second), settles())
	}
	return steps
}

func identityScene(d *dice) []step {
	var steps []step
	for range 2 + d.IntN(3) {
		switch d.IntN(6) {
		case 0:
			steps = append(steps, removes("serviceaccounts", "default", background))
		case 1:
			steps = append(steps, removes("configmaps", "kube-root-ca.crt", background))
		case 2:
			steps = append(steps, patches("configmaps", "kube-root-ca.crt", `{"data":{"ca.crt":"x","more":"y"}}`))
		case 3:
			name := fmt.Sprintf("t%d", d.IntN(99))
			steps = append(steps, makes("secrets", func() object {
				return object{"metadata": object{"name": name, "annotations": object{"kubernetes.io/service-account.name": "default"}}, "type": "kubernetes.io/service-account-token"}
			}))
		case 4:
			name := fmt.Sprintf("o%d", d.IntN(99))
			steps = append(steps, makes("secrets", func() object {
				return object{"metadata": object{"name": name, "annotations": object{"kubernetes.io/service-account.name": "nobody"}}, "type": "kubernetes.io/service-account-token", "data": object{"extra": base64.StdEncoding.EncodeToString([]byte("kept"))}}
			}))
		case 5:
			k := d.IntN(99)
			steps = append(steps, makes("clusterroles", func() object {
				return object{"metadata": object{"name": fmt.Sprintf("SCENE.sum%d", k)}, "aggregationRule": object{"clusterRoleSelectors": list{object{"matchLabels": object{"sum": "SCENE"}}}}, "rules": list{}}
			}), makes("clusterroles", func() object {
				return object{"metadata": object{"name": fmt.Sprintf("SCENE.part%d", k), "labels": object{"sum": "SCENE"}}, "rules": list{object{"apiGroups": list{""}, "resources": list{fmt.Sprintf("r%d", k)}, "verbs": list{"get"}}}}
			}))
		}
		steps = append(steps, settles())
	}
	return steps
}

// adoptionScene has ReplicaSets and controllers of old find pods that are nobody's, and lose some.
func adoptionScene(d *dice) []step {
	bare := d.IntN(4)
	var steps []step
	for i := range bare {
		steps = append(steps, makes("pods", func() object {
			t := podTemplate("web", nil, nil)
			t["metadata"].(object)["name"] = fmt.Sprintf("bare%d", i)
			return t
		}))
	}
	steps = append(steps, settles())
	n := d.IntN(4)
	resource := pick(d, "replicasets", "replicationcontrollers")
	steps = append(steps, makes(resource, func() object {
		o := object{"metadata": object{"name": "r"}, "spec": object{"replicas": n, "selector": selector("web"), "template": podTemplate("web", nil, nil)}}
		if resource == "replicationcontrollers" {
			o["spec"].(object)["selector"] = object{"app": "web"}
		}
		return o
	}), settles())
	for range 1 + d.IntN(3) {
		switch d.IntN(3) {
		case 0:
			steps = append(steps, onPod("web", "relabel", func(ctx context.Context, st *stage, name string) error {
				return st.patch(ctx, "pods", name, `{"metadata":{"labels":{"app":"other"}}}`)
			}))
		case 1:
			steps = append(steps, patches(resource, "r", replicas(d.IntN(5))))
		case 2:
			steps = append(steps, onPod("other", "relabel back", func(ctx context.Context, st *stage, name string) error {
				return st.patch(ctx, "pods", name, `{"metadata":{"labels":{"app":"web"}}}`)
			}))
		}
		steps = append(steps, settles())
	}
	return append(steps, perhapsRemoves(d, 40, resource, "r")...)
}

// claimScene has pods with claims that are made for them: of volumes, and of devices that nobody has.
func claimScene(d *dice) []step {
	more := object{}
	var steps []step
	if d.chance(50) {
		steps = append(steps, volume("v0", "none-SCENE", "Delete", "1Gi"))
		more["volumes"] = list{object{"name": "scratch", "ephemeral": object{"volumeClaimTemplate": object{"metadata": object{"labels": object{"l": "1"}}, "spec": object{"accessModes": list{"ReadWriteOnce"}, "storageClassName": "none-SCENE", "resources": object{"requests": object{"storage": "1Gi"}}}}}}}
		if d.chance(30) { // one that is somebody else's has the name
			steps = append(steps, makes("persistentvolumeclaims", func() object {
				return object{"metadata": object{"name": "user-scratch"}, "spec": object{"accessModes": list{"ReadWriteOnce"}, "storageClassName": "none-SCENE", "resources": object{"requests": object{"storage": "1Gi"}}}}
			}), settles())
		}
	} else {
		steps = append(steps, makes("resourceclaimtemplates", func() object {
			return object{"metadata": object{"name": "t"}, "spec": object{"metadata": object{"labels": object{"l": "1"}}, "spec": object{"devices": object{"requests": list{object{"name": "r", "exactly": object{"deviceClassName": "nothing.example.com"}}}}}}}
		}))
		more["resourceClaims"] = list{object{"name": "c", "resourceClaimTemplateName": "t"}}
	}
	steps = append(steps, makes("pods", func() object {
		t := podTemplate("user", nil, more)
		t["metadata"].(object)["name"] = "user"
		return t
	}), waits(2*time.Second), settles())
	if d.chance(60) {
		steps = append(steps, removes("pods", "user", background), settles())
	}
	return steps
}
