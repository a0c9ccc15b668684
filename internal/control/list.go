package control

import (
	"sampan.dev/internal/control/gc"
	"sampan.dev/internal/control/identity"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/control/network"
	"sampan.dev/internal/control/nodes"
	"sampan.dev/internal/control/workload"
)

// descriptor describes a controller.
type descriptor struct {
	name      string                         // as in --controllers
	alias     string                         // upstream's name of old, which --controllers takes too
	account   string                         // service account in kube-system; upstream's, which is not always the name
	component string                         // source of its events, where it is not the account
	off       bool                           // runs only when named, not by "*"
	make      func(env loop.Env) loop.Runner // nil result: nothing to do with this configuration
}

// list is every controller, by upstream's names (cmd/kube-controller-manager/names).
func (m *Manager) list() []descriptor {
	cfg := &m.cfg
	return []descriptor{
		{name: "endpoints-controller", alias: "endpoint", account: "endpoint-controller", make: network.NewEndpoints},
		{name: "endpointslice-controller", alias: "endpointslice", account: "endpointslice-controller", make: network.NewEndpointSlice},
		{name: "endpointslice-mirroring-controller", alias: "endpointslicemirroring", account: "endpointslicemirroring-controller", make: network.NewEndpointSliceMirroring},
		{name: "replicationcontroller-controller", alias: "replicationcontroller", account: "replication-controller", make: workload.NewReplicationController},
		{name: "pod-garbage-collector-controller", alias: "podgc", account: "pod-garbage-collector", make: func(env loop.Env) loop.Runner {
			return nodes.NewPodGC(env, cfg.TerminatedPodThreshold)
		}},
		{name: "namespace-controller", alias: "namespace", account: "namespace-controller", make: func(env loop.Env) loop.Runner {
			return gc.NewNamespace(env, m.world, cfg.NamespaceGrace)
		}},
		{name: "serviceaccount-controller", alias: "serviceaccount", account: "service-account-controller", make: identity.NewServiceAccount},
		{name: "garbage-collector-controller", alias: "garbagecollector", account: "generic-garbage-collector", make: func(env loop.Env) loop.Runner {
			return gc.NewCollector(env, m.world)
		}},
		{name: "deployment-controller", alias: "deployment", account: "deployment-controller", make: workload.NewDeployment},
		{name: "replicaset-controller", alias: "replicaset", account: "replicaset-controller", make: workload.NewReplicaSet},
		{name: "certificatesigningrequest-signing-controller", alias: "csrsigning", account: "certificate-controller", make: func(env loop.Env) loop.Runner {
			return identity.NewSigner(env, cfg.Signer)
		}},
		{name: "certificatesigningrequest-approving-controller", alias: "csrapproving", account: "certificate-controller", make: func(env loop.Env) loop.Runner {
			return identity.NewApprover(env, cfg.Serving)
		}},
		{name: "certificatesigningrequest-cleaner-controller", alias: "csrcleaner", account: "certificate-controller", make: identity.NewCleaner},
		{name: "ttl-controller", alias: "ttl", account: "ttl-controller", make: nodes.NewTTL},
		// These two are off in upstream's binary and on in every cluster that kubeadm makes; ours joins nodes by tokens too.
		{name: "bootstrap-signer-controller", alias: "bootstrapsigner", account: "bootstrap-signer", make: identity.NewBootstrapSigner},
		{name: "token-cleaner-controller", alias: "tokencleaner", account: "token-cleaner", make: identity.NewTokenCleaner},
		{name: "node-ipam-controller", alias: "nodeipam", account: "node-controller", component: "cidrAllocator", make: func(env loop.Env) loop.Runner {
			if len(cfg.NodeIPAM.ClusterCIDRs) == 0 {
				return nil
			}
			return nodes.NewIPAM(env, cfg.NodeIPAM)
		}},
		{name: "node-lifecycle-controller", alias: "nodelifecycle", account: "node-controller", make: func(env loop.Env) loop.Runner {
			return nodes.NewLifecycle(env, cfg.NodeLifecycle)
		}},
		{name: "taint-eviction-controller", account: "node-controller", component: "taint-eviction-controller", make: nodes.NewTaintEviction},
		{name: "clusterrole-aggregation-controller", alias: "clusterrole-aggregation", account: "clusterrole-aggregation-controller", make: identity.NewAggregator},
		{name: "root-ca-certificate-publisher-controller", alias: "root-ca-cert-publisher", account: "root-ca-cert-publisher", make: func(env loop.Env) loop.Runner {
			if len(cfg.RootCA) == 0 {
				return nil
			}
			return identity.NewRootCA(env, cfg.RootCA)
		}},
	}
}
