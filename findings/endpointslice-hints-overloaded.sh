#!/bin/bash
# k8s.io/endpointslice v0.37.1, topologycache: AddHints can give a zone fewer endpoints than its own overload threshold wants, and says that
# hints are enabled; GetOverloadedServices then names the very service at once. With two zones that have 70 % and 30 % of the CPU and five
# endpoints, all in the first, the second zone's least is two of them (5 x 0.297 / 1.2, rounded up), and it gets one: the redistribution
# stops when a zone lacks less than half an endpoint. The guess was that hints are within the threshold or not given; the controller
# looks at such a service again at every change of a node.
set -eu
dir=$(mktemp -d); trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT; cd "$dir"
cat > go.mod <<'M'
module finding
go 1.26
require (
	k8s.io/api v0.37.1
	k8s.io/apimachinery v0.37.1
	k8s.io/endpointslice v0.37.1
	k8s.io/klog/v2 v2.140.0
)
M
cat > main.go <<'M'
package main

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/endpointslice/topologycache"
	"k8s.io/klog/v2"
)

func node(zone, cpu string) *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: zone, Labels: map[string]string{v1.LabelTopologyZone: zone}},
		Status: v1.NodeStatus{
			Allocatable: v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu)},
			Conditions:  []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue}},
		},
	}
}

func main() {
	cache := topologycache.NewTopologyCache()
	cache.SetNodes(klog.Logger{}, []*v1.Node{node("a", "7031m"), node("b", "2969m")})
	slice := &discovery.EndpointSlice{AddressType: discovery.AddressTypeIPv4}
	for i := range 5 {
		slice.Endpoints = append(slice.Endpoints, discovery.Endpoint{
			Addresses: []string{fmt.Sprintf("10.0.0.%d", i+1)}, Zone: new("a"), Conditions: discovery.EndpointConditions{Ready: new(true)},
		})
	}
	created, _, events := cache.AddHints(klog.Logger{}, &topologycache.SliceInfo{ServiceKey: "ns/svc", AddressType: discovery.AddressTypeIPv4, ToCreate: []*discovery.EndpointSlice{slice}})
	given := map[string]int{}
	for _, s := range created {
		for _, e := range s.Endpoints {
			given[e.Hints.ForZones[0].Name]++
		}
	}
	fmt.Println(events[0].Reason, given)
	fmt.Println("overloaded at once:", cache.GetOverloadedServices())
}
M
GOFLAGS=-mod=mod go mod tidy >/dev/null 2>&1
got=$(GOFLAGS=-mod=mod CGO_ENABLED=0 go run .)
echo "$got"
[ "$got" = "TopologyAwareHintsEnabled map[a:4 b:1]
overloaded at once: [ns/svc]" ] || { echo "changed"; exit 1; }
