package main

import (
	"fmt"
	"math/rand/v2"
)

// state is a cluster and the pod that is to be placed in it.
type state struct {
	nodes, pods []object
	pod         object
}

var zones = []string{"z1", "z2", "z3"}

// newCase makes a cluster of some nodes and pods, and a pod with up to six constraints.
func newCase(dice *rand.Rand) state {
	var c state
	nodes := 3 + dice.IntN(6)
	for i := range nodes {
		c.nodes = append(c.nodes, someNode(dice, fmt.Sprint("n", i)))
	}
	for i := range dice.IntN(4 * nodes) {
		p := somePod(dice, fmt.Sprint("there-", i), 1)
		p["spec"].(object)["nodeName"] = fmt.Sprint("n", dice.IntN(nodes))
		c.pods = append(c.pods, p)
	}
	c.pod = somePod(dice, "new", 6)
	if dice.IntN(3) == 0 {
		c.pod["spec"].(object)["priorityClassName"] = "high"
	}
	return c
}

func someNode(dice *rand.Rand, name string) object {
	labels := object{"kubernetes.io/hostname": name, "disk": []string{"ssd", "hdd"}[dice.IntN(2)]}
	if dice.IntN(10) > 0 {
		labels["topology.kubernetes.io/zone"] = zones[dice.IntN(len(zones))]
	}
	taints := []any{}
	if dice.IntN(5) == 0 {
		taints = append(taints, object{"key": "k", "value": "v", "effect": []string{"NoSchedule", "PreferNoSchedule"}[dice.IntN(2)]})
	}
	room := object{"cpu": fmt.Sprint(1 + dice.IntN(4)), "memory": fmt.Sprintf("%dGi", 1+dice.IntN(4)), "pods": fmt.Sprint(3 + dice.IntN(8))}
	return object{
		"metadata": object{"name": name, "labels": labels}, "spec": object{"taints": taints},
		"status": object{"allocatable": room, "capacity": room},
	}
}

func somePod(dice *rand.Rand, name string, constraints int) object {
	space := spaces[dice.IntN(2)]
	app := fmt.Sprint("app", dice.IntN(3))
	container := object{"name": "c", "image": "app", "resources": object{"requests": object{"cpu": fmt.Sprintf("%dm", 100*dice.IntN(12)), "memory": fmt.Sprintf("%dMi", 100*dice.IntN(12))}}}
	spec := object{"containers": []any{container}, "automountServiceAccountToken": false}
	if class := []string{"", "low", "middle", "high"}[dice.IntN(4)]; class != "" {
		spec["priorityClassName"] = class
	}
	for range dice.IntN(constraints + 1) {
		constrain(dice, spec, container, app)
	}
	return object{"metadata": object{"namespace": space, "name": name, "labels": object{"app": app, "tier": fmt.Sprint(dice.IntN(2))}}, "spec": spec}
}

// constrain adds one constraint to a pod.
func constrain(dice *rand.Rand, spec, container object, app string) {
	key := []string{"kubernetes.io/hostname", "topology.kubernetes.io/zone", "disk"}[dice.IntN(3)]
	selector := object{"matchLabels": object{"app": []string{app, fmt.Sprint("app", dice.IntN(3))}[dice.IntN(2)]}}
	term := object{"topologyKey": key, "labelSelector": selector}
	switch dice.IntN(5) {
	case 0:
		term["namespaces"] = []any{spaces[dice.IntN(2)]}
	case 1:
		term["namespaceSelector"] = object{"matchLabels": object{"team": []string{"x", "y"}[dice.IntN(2)]}}
	}
	if spec["affinity"] == nil {
		spec["affinity"] = object{}
	}
	affinity := spec["affinity"].(object)
	required, preferred := "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
	weighted := object{"weight": 1 + dice.IntN(100), "podAffinityTerm": term}
	switch dice.IntN(9) {
	case 0:
		spec["nodeSelector"] = object{"disk": "ssd"}
	case 1:
		spec["tolerations"] = []any{object{"key": "k", "operator": "Exists"}}
	case 2:
		container["ports"] = []any{object{"containerPort": 80, "hostPort": 8000 + dice.IntN(2)}}
	case 3:
		affinity["podAffinity"] = object{required: []any{term}}
	case 4:
		affinity["podAntiAffinity"] = object{required: []any{term}}
	case 5:
		affinity["podAffinity"] = object{preferred: []any{weighted}}
	case 6:
		affinity["podAntiAffinity"] = object{preferred: []any{weighted}}
	case 7:
		affinity["nodeAffinity"] = object{preferred: []any{object{"weight": 1 + dice.IntN(100), "preference": object{"matchExpressions": []any{object{"key": "disk", "operator": "In", "values": []any{"ssd"}}}}}}}
	case 8:
		c := object{"maxSkew": 1 + dice.IntN(2), "topologyKey": key, "whenUnsatisfiable": []string{"DoNotSchedule", "ScheduleAnyway"}[dice.IntN(2)], "labelSelector": selector}
		if dice.IntN(3) == 0 {
			c["nodeTaintsPolicy"] = "Honor"
		}
		if c["whenUnsatisfiable"] == "DoNotSchedule" && dice.IntN(3) == 0 {
			c["minDomains"] = 1 + dice.IntN(4)
		}
		spec["topologySpreadConstraints"] = []any{c}
	}
}
