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
	account   string                         // service account in kube-system; upstream's, which is not always the name
	component string                         // source of its events, where it is not the account
	off       bool                           // runs only when named, not by "*"
	make      func(env loop.Env) loop.Runner // nil result: nothing to do with this configuration
}

// list is every controller, by upstream's names (cmd/kube-controller-manager/names).
func (m *Manager) list() []descriptor {
	cfg := &m.cfg
	return []descriptor{
		{name: "endpoints-controller", account: "endpoint-controller", make: network.NewEndpoints},
		{name: "endpointslice-controller", account: "endpointslice-controller", make: network.NewEndpointSlice},
		{name: "endpointslice-mirroring-controller", account: "endpointslicemirroring-controller", make: network.NewEndpointSliceMirroring},
		{name: "replicationcontroller-controller", account: "replication-controller", make: workload.NewReplicationController},
		{name: "pod-garbage-collector-controller", account: "pod-garbage-collector", make: func(env loop.Env) loop.Runner {
			return nodes.NewPodGC(env, cfg.TerminatedPodThreshold)
		}},
		{name: "namespace-controller", account: "namespace-controller", make: func(env loop.Env) loop.Runner {
			return gc.NewNamespace(env, m.world, cfg.NamespaceGrace)
		}},
		{name: "garbage-collector-controller", account: "generic-garbage-collector", make: func(env loop.Env) loop.Runner {
			return gc.NewCollector(env, m.world)
		}},
		{name: "deployment-controller", account: "deployment-controller", make: workload.NewDeployment},
		{name: "replicaset-controller", account: "replicaset-controller", make: workload.NewReplicaSet},
		{name: "ttl-controller", account: "ttl-controller", make: nodes.NewTTL},
		{name: "node-ipam-controller", account: "node-controller", component: "cidrAllocator", make: func(env loop.Env) loop.Runner {
			if len(cfg.NodeIPAM.ClusterCIDRs) == 0 {
				return nil
			}
			return nodes.NewIPAM(env, cfg.NodeIPAM)
		}},
		{name: "node-lifecycle-controller", account: "node-controller", make: func(env loop.Env) loop.Runner {
			return nodes.NewLifecycle(env, cfg.NodeLifecycle)
		}},
		{name: "taint-eviction-controller", account: "node-controller", component: "taint-eviction-controller", make: nodes.NewTaintEviction},
		{name: "serviceaccount-controller", account: "service-account-controller", make: identity.NewServiceAccount},
		{name: "root-ca-certificate-publisher-controller", account: "root-ca-cert-publisher", make: func(env loop.Env) loop.Runner {
			if len(cfg.RootCA) == 0 {
				return nil
			}
			return identity.NewRootCA(env, cfg.RootCA)
		}},
		{name: "certificatesigningrequest-approving-controller", account: "certificate-controller", make: identity.NewApprover},
		{name: "certificatesigningrequest-signing-controller", account: "certificate-controller", make: func(env loop.Env) loop.Runner {
			return identity.NewSigner(env, cfg.Signer)
		}},
		{name: "certificatesigningrequest-cleaner-controller", account: "certificate-controller", make: identity.NewCleaner},
		{name: "clusterrole-aggregation-controller", account: "clusterrole-aggregation-controller", make: identity.NewAggregator},
		{name: "bootstrap-signer-controller", account: "bootstrap-signer", make: identity.NewBootstrapSigner},
		{name: "token-cleaner-controller", account: "token-cleaner", make: identity.NewTokenCleaner},
	}
}
