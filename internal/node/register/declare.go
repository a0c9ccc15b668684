package register

import (
	"k8s.io/apimachinery/pkg/util/version"
	ndf "k8s.io/component-helpers/nodedeclaredfeatures"
	"k8s.io/component-helpers/nodedeclaredfeatures/types"
)

// features are the gates of v1.37.1 that decide what a node declares: those that are on by default and built here. A gate that is not
// here counts as off.
var features = types.FeatureGateMap{
	"ContainerRestartRules":                   true,
	"RestartAllContainersOnContainerExits":    true,
	"InPlacePodLevelResourcesVerticalScaling": true,
	"InPlacePodVerticalScalingInitContainers": true,
	"ExtendWebSocketsToKubelet":               true,
}

// declared are the features that a node of that version declares in its status, sorted. Schedulers keep pods that need one off nodes that
// do not declare it.
func declared(of string) []string {
	v, err := version.ParseSemantic(of)
	if err != nil {
		return nil // a test's
	}
	return ndf.DefaultFramework.DiscoverNodeFeatures(&ndf.NodeConfiguration{FeatureGates: features, Version: v})
}
