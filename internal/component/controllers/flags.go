package controllers

import (
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
)

// Reasons that several flags share.
const (
	workers  = "workers are as many as the work needs"
	noTurns  = "what is attached is looked at when it changes, not in turn"
	noVolume = "volumes of persistent claims are not built yet"
	noQuota  = "resource quotas are not built yet"
	noCloud  = "clouds have their own controller manager"
	batches  = "changes that come together are written together already"
)

// Table is every flag of upstream's, and what becomes of it.
func (c *Config) Table() flag.Table {
	return flag.Join(
		c.Contact.Rows("", "20", "30"), c.Lead.Rows("kube-controller-manager", ""), c.Migration.Rows(), c.Face.Rows(10257, false),
		component.Profiling("", component.NoProfiles), component.Metrics(), component.Versions(&c.Gates), c.Log.Rows(""),
		c.choice(), c.nodes(), c.scaling(), c.signing(), c.concurrency(), c.absent(),
	)
}

func (c *Config) choice() flag.Table {
	return flag.Table{
		flag.Set("controllers", flag.List(&c.Controllers), "controllers to run: '*', 'name', '-name', comma separated"),
		flag.Set("use-service-account-credentials", flag.Bool(&c.OwnAccounts), "have each controller act as its own service account in kube-system"),
		flag.Ignore("controller-start-interval", "duration", "", "controllers start together"),
		flag.Ignore("controller-shutdown-timeout", "duration", "10s", "a controller ends with what it is doing"),
		flag.Ignore("min-resync-period", "duration", "12h0m0s", "informers follow watches and need no second look"),
		flag.Refuse("enable-garbage-collector", "bool", "true", "to run without it, say --controllers=-garbage-collector-controller"),
		flag.Set("terminated-pod-gc-threshold", flag.Int32(&c.TerminatedPodThreshold), "ended pods that may exist before the oldest are deleted; 0 or less: any number"),
		flag.Set("root-ca-file", flag.String(&c.RootCAFile), "authority that is published in every namespace as kube-root-ca.crt"),
		flag.Set("service-account-private-key-file", flag.String(&c.TokenKeyFile), "key that signs the tokens that Secrets hold; without it none are made"),
		flag.Set("legacy-service-account-token-clean-up-period", flag.Duration(&c.UnusedTokens), "how long a token that an account got by itself may be unused"),
		flag.Ignore("namespace-sync-period", "duration", "5m0s", "namespaces are watched"),
	}
}

func (c *Config) nodes() flag.Table {
	return flag.Table{
		flag.Set("allocate-node-cidrs", flag.Bool(&c.AllocateNodeCIDRs), "give each node a range of pod addresses"),
		flag.Refuse("cidr-allocator-type", "string", `"RangeAllocator"`, "ranges of a cloud are the cloud's to give"),
		flag.Set("cluster-cidr", flag.Prefixes(&c.ClusterCIDRs), "range of the pods' addresses, one for each family"),
		flag.Set("service-cluster-ip-range", flag.Prefixes(&c.ServiceCIDRs), "range of the services' addresses, kept from pods"),
		flag.Set("node-cidr-mask-size", flag.Int32(&c.Mask), "bits of a node's range where there is one family; 0: 24 or 64"),
		flag.Set("node-cidr-mask-size-ipv4", flag.Int32(&c.Mask4), "the same for IPv4 where there are two"),
		flag.Set("node-cidr-mask-size-ipv6", flag.Int32(&c.Mask6), "the same for IPv6 where there are two"),
		flag.Set("node-monitor-grace-period", flag.Duration(&c.MonitorGrace), "how long a node may be silent before it is Unknown"),
		flag.Set("node-startup-grace-period", flag.Duration(&c.StartupGrace), "the same for a node that has never spoken"),
		flag.Ignore("node-monitor-period", "duration", "5s", "a node is looked at when its time is over, not in turn"),
		flag.Set("node-eviction-rate", flag.Float32(&c.EvictionRate), "nodes per second and zone whose pods are evicted"),
		flag.Set("secondary-node-eviction-rate", flag.Float32(&c.SecondaryRate), "the same in a large zone that is unhealthy"),
		flag.Set("large-cluster-size-threshold", flag.Int32(&c.LargeCluster), "nodes that make a zone large"),
		flag.Set("unhealthy-zone-threshold", flag.Float32(&c.Unhealthy), "part of a zone's nodes that makes it unhealthy"),
	}
}

func (c *Config) scaling() flag.Table {
	return flag.Table{
		flag.Set("horizontal-pod-autoscaler-sync-period", flag.Duration(&c.Autoscale.SyncPeriod), "between looks at an autoscaler"),
		flag.Set("horizontal-pod-autoscaler-downscale-stabilization", flag.Duration(&c.Autoscale.Stabilization), "how far back the autoscaler looks for a higher recommendation before it scales down"),
		flag.Set("horizontal-pod-autoscaler-tolerance", flag.Float(&c.Autoscale.Tolerance), "how far the usage may be from its target without a change"),
		flag.Set("horizontal-pod-autoscaler-cpu-initialization-period", flag.Duration(&c.Autoscale.CPUInitialization), "after a pod's start, in which its CPU may say nothing yet"),
		flag.Set("horizontal-pod-autoscaler-initial-readiness-delay", flag.Duration(&c.Autoscale.InitialReadiness), "after a pod's start, in which changes of its readiness are its first"),
	}
}

func (c *Config) signing() flag.Table {
	return flag.Table{
		flag.Set("cluster-signing-cert-file", flag.String(&c.Signing.Cert), "authority that signs certificate requests"),
		flag.Set("cluster-signing-key-file", flag.String(&c.Signing.Key), "its key"),
		flag.Set("cluster-signing-duration", flag.Duration(&c.SignFor), "longest life of a certificate that is signed"),
		flag.Set("cluster-signing-kube-apiserver-client-cert-file", flag.String(&c.signAPIServer.Cert), "the same for kubernetes.io/kube-apiserver-client"),
		flag.Set("cluster-signing-kube-apiserver-client-key-file", flag.String(&c.signAPIServer.Key), "its key"),
		flag.Set("cluster-signing-kubelet-client-cert-file", flag.String(&c.signKubelet.Cert), "the same for kubernetes.io/kube-apiserver-client-kubelet"),
		flag.Set("cluster-signing-kubelet-client-key-file", flag.String(&c.signKubelet.Key), "its key"),
		flag.Set("cluster-signing-kubelet-serving-cert-file", flag.String(&c.signServing.Cert), "the same for kubernetes.io/kubelet-serving"),
		flag.Set("cluster-signing-kubelet-serving-key-file", flag.String(&c.signServing.Key), "its key"),
		flag.Set("cluster-signing-legacy-unknown-cert-file", flag.String(&c.signLegacy.Cert), "the same for kubernetes.io/legacy-unknown"),
		flag.Set("cluster-signing-legacy-unknown-key-file", flag.String(&c.signLegacy.Key), "its key"),
	}
}

func (c *Config) concurrency() flag.Table {
	return flag.Table{
		flag.Ignore("concurrent-deployment-syncs", "int32", "5", workers),
		flag.Ignore("concurrent-endpoint-syncs", "int32", "5", workers),
		flag.Ignore("concurrent-service-endpoint-syncs", "int32", "5", workers),
		flag.Ignore("mirroring-concurrent-service-endpoint-syncs", "int32", "5", workers),
		flag.Ignore("concurrent-gc-syncs", "int32", "20", workers),
		flag.Ignore("concurrent-namespace-syncs", "int32", "10", workers),
		flag.Ignore("concurrent-replicaset-syncs", "int32", "5", workers),
		flag.Ignore("concurrent-rc-syncs", "int32", "5", workers),
		flag.Ignore("concurrent-disruption-syncs", "int32", "1", workers),
		flag.Ignore("concurrent-job-syncs", "int32", "5", workers),
		flag.Ignore("concurrent-cron-job-syncs", "int32", "5", workers),
		flag.Ignore("concurrent-ttl-after-finished-syncs", "int32", "5", workers),
		flag.Ignore("concurrent-horizontal-pod-autoscaler-syncs", "int32", "5", workers),
		flag.Ignore("concurrent-serviceaccount-token-syncs", "int32", "5", workers),
		flag.Ignore("concurrent-statefulset-syncs", "int32", "5", workers),
		flag.Ignore("concurrent-daemonset-syncs", "int32", "2", workers),
		flag.Ignore("endpoint-updates-batch-period", "duration", "", batches),
		flag.Ignore("endpointslice-updates-batch-period", "duration", "", batches),
		flag.Ignore("mirroring-endpointslice-updates-batch-period", "duration", "", batches),
		flag.Refuse("max-endpoints-per-slice", "int32", "100", "slices hold a hundred endpoints"),
		flag.Refuse("mirroring-max-endpoints-per-subset", "int32", "1000", "a thousand endpoints of a subset are mirrored"),
	}
}

// absent are the settings of controllers that are not built, and of what is left to others.
func (c *Config) absent() flag.Table {
	return flag.Table{
		flag.Ignore("concurrent-device-taint-eviction-syncs", "int32", "8", workers),
		flag.Ignore("concurrent-resourceclaim-syncs", "int32", "50", workers),
		flag.Ignore("concurrent-ephemeralvolume-syncs", "int32", "5", noVolume),
		flag.Ignore("concurrent-resource-quota-syncs", "int32", "5", noQuota),
		flag.Ignore("resource-quota-sync-period", "duration", "5m0s", noQuota),
		flag.Ignore("concurrent-validating-admission-policy-status-syncs", "int32", "5", "admission policies are not built yet"),
		flag.Ignore("attach-detach-reconcile-sync-period", "duration", "1m0s", noTurns),
		flag.Ignore("disable-attach-detach-reconcile-sync", "bool", "", noTurns),
		flag.Set("disable-force-detach-on-timeout", flag.Bool(&c.Attach.NoForce), "leave a node that is not healthy its volumes for as long as it uses them"),
		flag.Ignore("enable-dynamic-provisioning", "bool", "true", noVolume),
		flag.Refuse("enable-hostpath-provisioner", "bool", "", noVolume),
		flag.Ignore("flex-volume-plugin-dir", "string", `"/usr/libexec/kubernetes/kubelet-plugins/volume/exec/"`, noVolume),
		flag.Ignore("pv-recycler-increment-timeout-nfs", "int32", "30", noVolume),
		flag.Ignore("pv-recycler-minimum-timeout-hostpath", "int32", "60", noVolume),
		flag.Ignore("pv-recycler-minimum-timeout-nfs", "int32", "300", noVolume),
		flag.Ignore("pv-recycler-pod-template-filepath-hostpath", "string", "", noVolume),
		flag.Ignore("pv-recycler-pod-template-filepath-nfs", "string", "", noVolume),
		flag.Ignore("pv-recycler-timeout-increment-hostpath", "int32", "30", noVolume),
		flag.Ignore("pvclaimbinder-sync-period", "duration", "15s", noVolume),
		flag.Refuse("cloud-provider", "string", "", noCloud).But("external"),
		flag.Refuse("cloud-config", "string", "", noCloud),
		flag.Ignore("cluster-name", "string", `"kubernetes"`, noCloud),
		flag.Ignore("configure-cloud-routes", "bool", "true", noCloud),
		flag.Ignore("route-reconciliation-period", "duration", "10s", noCloud),
		flag.Refuse("external-cloud-volume-plugin", "string", "", noCloud),
	}
}
