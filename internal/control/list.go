package control

import (
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/devices"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/autoscale"
	"sampan.dev/internal/control/device"
	"sampan.dev/internal/control/disruption"
	"sampan.dev/internal/control/gc"
	"sampan.dev/internal/control/identity"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/control/migration"
	"sampan.dev/internal/control/network"
	"sampan.dev/internal/control/nodes"
	"sampan.dev/internal/control/quota"
	"sampan.dev/internal/control/storage"
	"sampan.dev/internal/control/workload"
	"sampan.dev/internal/control/workload/cron"
	"sampan.dev/internal/control/workload/daemonset"
	"sampan.dev/internal/control/workload/expire"
	"sampan.dev/internal/control/workload/job"
	"sampan.dev/internal/control/workload/statefulset"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// descriptor describes a controller.
type descriptor struct {
	name      string                         // as in --controllers
	alias     string                         // upstream's name of old, which --controllers takes too
	account   string                         // service account in kube-system; upstream's, which is not always the name; "": the manager itself
	component string                         // source of its events, where it is not the account
	off       bool                           // runs only when named, not by "*"
	reads     string                         // the resources it has informers of; "*" is all there are
	writes    string                         // the resources and subresources it writes, beside events; "*" is all there are
	admin     bool                           // may do everything: one of our own, which no bootstrap role knows
	make      func(env loop.Env) loop.Runner // nil result: nothing to do with this configuration

	// first, if set, are resources that the controller is made for when there is first an object of one of them. Until then it costs
	// nothing: the world, which has the metadata of all that there is in view, tells.
	first []schema.GroupVersionResource
	// like, if set, says by its metadata whether an object of first is one that the controller is for.
	like func(api.Object) bool
	// when, if set, has the controller made when there is first something else for it: it calls start from a handler of the set's
	// informers. Until then the controller costs that handler.
	when func(set *cache.Set, start func())
}

// list is the controllers that this manager may run.
func (m *Manager) list() []descriptor {
	switch {
	case m.cfg.Cloud.Provider == nil:
		return append(m.cores(), m.own()...)
	case m.cfg.OnlyCloud:
		return m.clouds()
	}
	return slices.Concat(m.cores(), m.own(), m.clouds())
}

// own is every controller that upstream's manager does not have.
func (m *Manager) own() []descriptor {
	if !m.cfg.LocalPath {
		return nil
	}
	return []descriptor{
		{name: localPathProvisioner, account: localPathProvisioner, admin: true,
			reads:  "nodes persistentvolumeclaims persistentvolumes storageclasses",
			writes: "nodes persistentvolumeclaims persistentvolumeclaims/status persistentvolumes storageclasses",
			first:  []schema.GroupVersionResource{client.PersistentVolumeClaims, client.PersistentVolumes},
			make:   storage.NewLocalPath},
	}
}

const localPathProvisioner = "local-path-provisioner"

// cores is every controller that needs no cloud, by upstream's names (cmd/kube-controller-manager/names).
func (m *Manager) cores() []descriptor {
	cfg := &m.cfg
	return []descriptor{
		{name: "endpoints-controller", alias: "endpoint", account: "endpoint-controller",
			reads: "endpoints pods services", writes: "endpoints",
			make: network.NewEndpoints},
		{name: "endpointslice-controller", alias: "endpointslice", account: "endpointslice-controller",
			reads: "endpointslices nodes pods services", writes: "endpointslices",
			make: network.NewEndpointSlice},
		{name: "endpointslice-mirroring-controller", alias: "endpointslicemirroring", account: "endpointslicemirroring-controller",
			reads: "endpoints endpointslices services", writes: "endpointslices",
			make: network.NewEndpointSliceMirroring},
		{name: "replicationcontroller-controller", alias: "replicationcontroller", account: "replication-controller",
			reads: "pods replicationcontrollers", writes: "pods replicationcontrollers/status",
			make: workload.NewReplicationController},
		{name: "pod-garbage-collector-controller", alias: "podgc", account: "pod-garbage-collector",
			reads: "nodes pods", writes: "pods pods/status",
			make: func(env loop.Env) loop.Runner {
				return nodes.NewPodGC(env, cfg.TerminatedPodThreshold)
			}},
		{name: "namespace-controller", alias: "namespace", account: "namespace-controller",
			reads: "*", writes: "* namespaces/finalize namespaces/status",
			make: func(env loop.Env) loop.Runner {
				return gc.NewNamespace(env, m.world, cfg.NamespaceGrace)
			}},
		{name: "serviceaccount-controller", alias: "serviceaccount", account: "service-account-controller",
			reads: "namespaces serviceaccounts", writes: "serviceaccounts",
			make: identity.NewServiceAccount},
		{name: "serviceaccount-token-controller", alias: "serviceaccount-token", component: "tokens-controller",
			reads: "secrets serviceaccounts", writes: "secrets serviceaccounts",
			first: []schema.GroupVersionResource{client.Secrets}, like: identity.OfToken,
			make: func(env loop.Env) loop.Runner {
				if cfg.TokenKey == nil {
					return nil
				}
				return identity.NewTokens(env, cfg.TokenKey, cfg.RootCA)
			}},
		{name: "legacy-serviceaccount-token-cleaner-controller", alias: "legacy-service-account-token-cleaner", account: "legacy-service-account-token-cleaner",
			reads: "pods secrets serviceaccounts", writes: "secrets",
			first: []schema.GroupVersionResource{client.Secrets}, like: identity.OfToken,
			make: func(env loop.Env) loop.Runner {
				return identity.NewUnusedTokens(env, cfg.UnusedTokens)
			}},
		{name: "garbage-collector-controller", alias: "garbagecollector", account: "generic-garbage-collector",
			reads: "*", writes: "*",
			make: func(env loop.Env) loop.Runner {
				return gc.NewCollector(env, m.world)
			}},
		{name: "persistentvolumeclaim-protection-controller", alias: "pvc-protection", account: "pvc-protection-controller",
			reads: "*", writes: "persistentvolumeclaims persistentvolumeclaims/status",
			make: func(env loop.Env) loop.Runner {
				return gc.NewClaimProtection(env, m.world)
			}},
		{name: "persistentvolume-protection-controller", alias: "pv-protection", account: "pv-protection-controller",
			reads: "*", writes: "persistentvolumes",
			make: func(env loop.Env) loop.Runner {
				return gc.NewVolumeProtection(env, m.world)
			}},
		{name: "podgroup-protection-controller", account: "podgroup-protection-controller",
			reads: "*", writes: "podgroups",
			make: func(env loop.Env) loop.Runner {
				if cfg.Kinds.Resource(client.PodGroups) == nil {
					return nil // the feature GenericWorkload is off
				}
				return gc.NewGroupProtection(env, m.world)
			}},
		{name: "volumeattributesclass-protection-controller", account: "volumeattributesclass-protection-controller",
			reads: "*", writes: "volumeattributesclasses",
			make: func(env loop.Env) loop.Runner {
				return gc.NewAttributesProtection(env, m.world)
			}},
		{name: "deployment-controller", alias: "deployment", account: "deployment-controller",
			reads: "deployments pods replicasets", writes: "deployments deployments/status replicasets",
			make: workload.NewDeployment},
		{name: "replicaset-controller", alias: "replicaset", account: "replicaset-controller",
			reads: "pods replicasets", writes: "pods replicasets/status",
			make: workload.NewReplicaSet},
		{name: "job-controller", alias: "job", account: "job-controller",
			reads: "jobs pods", writes: "jobs/status pods",
			when: firstJob,
			make: job.New},
		{name: "cronjob-controller", alias: "cronjob", account: "cronjob-controller",
			reads: "cronjobs jobs", writes: "cronjobs/status jobs",
			when: firstOf[*batchv1.CronJob](client.CronJobs),
			make: cron.New},
		{name: "ttl-after-finished-controller", alias: "ttl-after-finished", account: "ttl-after-finished-controller",
			reads: "jobs", writes: "jobs",
			when: firstOf[*batchv1.Job](client.Jobs),
			make: expire.New},
		{name: "horizontal-pod-autoscaler-controller", alias: "horizontalpodautoscaling", account: "horizontal-pod-autoscaler",
			reads: "horizontalpodautoscalers pods", writes: "*/scale horizontalpodautoscalers/status",
			when: firstOf[*autoscalingv2.HorizontalPodAutoscaler](client.HorizontalPodAutoscalers),
			make: func(env loop.Env) loop.Runner {
				return autoscale.New(env, cfg.Autoscale, m.world.Resources)
			}},
		{name: "statefulset-controller", alias: "statefulset", account: "statefulset-controller",
			reads: "controllerrevisions persistentvolumeclaims pods statefulsets", writes: "controllerrevisions persistentvolumeclaims pods statefulsets/status",
			when: firstOf[*appsv1.StatefulSet](client.StatefulSets),
			make: statefulset.New},
		{name: "daemonset-controller", alias: "daemonset", account: "daemon-set-controller", component: "daemonset-controller",
			reads: "controllerrevisions daemonsets nodes pods", writes: "controllerrevisions daemonsets/status pods",
			when: firstOf[*appsv1.DaemonSet](client.DaemonSets),
			make: daemonset.New},
		{name: "certificatesigningrequest-signing-controller", alias: "csrsigning", account: "certificate-controller",
			reads: "certificatesigningrequests", writes: "certificatesigningrequests/status",
			make: func(env loop.Env) loop.Runner {
				return identity.NewSigner(env, cfg.Signer)
			}},
		{name: "certificatesigningrequest-approving-controller", alias: "csrapproving", account: "certificate-controller",
			reads: "certificatesigningrequests nodes", writes: "certificatesigningrequests/approval subjectaccessreviews",
			make: func(env loop.Env) loop.Runner {
				return identity.NewApprover(env, cfg.Serving)
			}},
		{name: "certificatesigningrequest-cleaner-controller", alias: "csrcleaner", account: "certificate-controller",
			reads: "certificatesigningrequests", writes: "certificatesigningrequests",
			make: identity.NewCleaner},
		{name: "podcertificaterequest-cleaner-controller", account: "podcertificaterequestcleaner",
			reads: "podcertificaterequests", writes: "podcertificaterequests",
			first: []schema.GroupVersionResource{client.PodCertificateRequests},
			make:  identity.NewPodCertificateCleaner},
		{name: "ttl-controller", alias: "ttl", account: "ttl-controller",
			reads: "nodes", writes: "nodes",
			make: nodes.NewTTL},
		// These two are off in upstream's binary and on in every cluster that kubeadm makes; ours joins nodes by tokens too.
		{name: "bootstrap-signer-controller", alias: "bootstrapsigner", account: "bootstrap-signer",
			reads: "configmaps secrets", writes: "configmaps",
			make: identity.NewBootstrapSigner},
		{name: "token-cleaner-controller", alias: "tokencleaner", account: "token-cleaner",
			reads: "secrets", writes: "secrets",
			make: identity.NewTokenCleaner},
		{name: "node-ipam-controller", alias: "nodeipam", account: "node-controller", component: "cidrAllocator",
			reads: "nodes", writes: "nodes",
			make: func(env loop.Env) loop.Runner {
				if len(cfg.NodeIPAM.ClusterCIDRs) == 0 {
					return nil
				}
				return nodes.NewIPAM(env, cfg.NodeIPAM)
			}},
		{name: "node-lifecycle-controller", alias: "nodelifecycle", account: "node-controller",
			reads: "leases nodes pods", writes: "nodes nodes/status pods pods/status",
			make: func(env loop.Env) loop.Runner {
				return nodes.NewLifecycle(env, cfg.NodeLifecycle)
			}},
		{name: "taint-eviction-controller", account: "node-controller", component: "taint-eviction-controller",
			reads: "nodes pods", writes: "pods pods/status",
			make: nodes.NewTaintEviction},
		{name: "clusterrole-aggregation-controller", alias: "clusterrole-aggregation", account: "clusterrole-aggregation-controller",
			reads: "clusterroles", writes: "clusterroles",
			make: identity.NewAggregator},
		{name: "resourcequota-controller", alias: "resourcequota", account: "resourcequota-controller",
			reads: "resourcequotas", writes: "resourcequotas/status",
			when: firstOf[*corev1.ResourceQuota](client.ResourceQuotas),
			make: func(env loop.Env) loop.Runner {
				return quota.New(env, m.world.Serves)
			}},
		{name: "disruption-controller", alias: "disruption", account: "disruption-controller", component: "controllermanager",
			reads: "poddisruptionbudgets pods", writes: "poddisruptionbudgets/status pods/status",
			first: []schema.GroupVersionResource{client.PodDisruptionBudgets}, when: firstDisrupted,
			make: func(env loop.Env) loop.Runner {
				return disruption.New(env, m.world.Kinds)
			}},
		{name: "service-cidr-controller", account: "service-cidrs-controller",
			reads: "servicecidrs", writes: "servicecidrs servicecidrs/status",
			make: network.NewServiceCIDR},
		{name: "storage-version-migrator-controller", alias: "svm", account: "storage-version-migrator-controller",
			reads: "storageversionmigrations", writes: "*",
			first: []schema.GroupVersionResource{client.StorageVersionMigrations},
			make: func(env loop.Env) loop.Runner {
				return migration.New(env, m.world.Kinds)
			}},
		{name: "kube-apiserver-serving-clustertrustbundle-publisher-controller", account: "kube-apiserver-serving-clustertrustbundle-publisher",
			reads: "clustertrustbundles", writes: "clustertrustbundles",
			make: func(env loop.Env) loop.Runner {
				if len(cfg.RootCA) == 0 {
					return nil
				}
				return identity.NewTrustBundle(env, cfg.RootCA)
			}},
		{name: "persistentvolume-binder-controller", alias: "persistentvolume-binder", account: "persistent-volume-binder", component: "persistentvolume-controller",
			reads:  "persistentvolumeclaims persistentvolumes pods storageclasses",
			writes: "persistentvolumeclaims persistentvolumeclaims/status persistentvolumes persistentvolumes/status pods",
			first:  []schema.GroupVersionResource{client.PersistentVolumeClaims, client.PersistentVolumes},
			make: func(env loop.Env) loop.Runner {
				return storage.NewBinder(env, cfg.Storage)
			}},
		{name: "persistentvolume-attach-detach-controller", alias: "attachdetach", account: "attachdetach-controller",
			reads:  "csidrivers nodes persistentvolumeclaims persistentvolumes pods volumeattachments",
			writes: "nodes/status volumeattachments",
			first:  []schema.GroupVersionResource{client.PersistentVolumes, client.VolumeAttachments}, like: storage.Driven,
			make: func(env loop.Env) loop.Runner {
				return storage.NewAttacher(env, cfg.Attach)
			}},
		{name: "persistentvolume-expander-controller", alias: "persistentvolume-expander", account: "expand-controller", component: "volume_expand",
			reads: "persistentvolumeclaims persistentvolumes", writes: "",
			first: []schema.GroupVersionResource{client.PersistentVolumes}, like: storage.Driven,
			make: storage.NewExpander},
		{name: "ephemeral-volume-controller", alias: "ephemeral-volume", account: "ephemeral-volume-controller", component: "ephemeral_volume",
			reads: "persistentvolumeclaims pods", writes: "persistentvolumeclaims",
			when: firstEphemeral,
			make: storage.NewEphemeral},
		{name: "resourceclaim-controller", alias: "resource-claim-controller", account: "resource-claim-controller", component: "resource_claim",
			reads: "pods resourceclaims resourceclaimtemplates", writes: "pods/status resourceclaims resourceclaims/status",
			first: []schema.GroupVersionResource{client.ResourceClaims}, when: firstClaiming,
			make: device.NewClaims},
		{name: "device-taint-eviction-controller", account: "device-taint-eviction-controller",
			reads: "devicetaintrules pods resourceclaims resourceslices", writes: "devicetaintrules/status pods pods/status",
			first: []schema.GroupVersionResource{client.DeviceTaintRules, client.ResourceClaims},
			make:  device.NewEvictor},
		{name: "root-ca-certificate-publisher-controller", alias: "root-ca-cert-publisher", account: "root-ca-cert-publisher",
			reads: "configmaps namespaces", writes: "configmaps",
			make: func(env loop.Env) loop.Runner {
				if len(cfg.RootCA) == 0 {
					return nil
				}
				return identity.NewRootCA(env, cfg.RootCA)
			}},
	}
}

// firstOf starts a controller when there is an object of a resource.
func firstOf[T api.Object](res schema.GroupVersionResource) func(set *cache.Set, start func()) {
	return func(set *cache.Set, start func()) {
		cache.For[T](set, res, cache.Options{}).Handle(cache.Handler[T]{Add: func(T) { start() }})
	}
}

// firstJob starts a controller when there is a Job, or a pod whose end one was to count.
func firstJob(set *cache.Set, start func()) {
	firstOf[*batchv1.Job](client.Jobs)(set, start)
	cache.For[*corev1.Pod](set, client.Pods, cache.Options{}).Handle(cache.Handler[*corev1.Pod]{Add: func(p *corev1.Pod) {
		if slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) {
			start()
		}
	}})
}

// firstDisrupted starts a controller when a pod is to be disrupted.
func firstDisrupted(set *cache.Set, start func()) {
	look := func(p *corev1.Pod) {
		if disruption.Concerns(p) {
			start()
		}
	}
	cache.For[*corev1.Pod](set, client.Pods, cache.Options{}).Handle(cache.Handler[*corev1.Pod]{Add: look, Update: func(_, p *corev1.Pod) { look(p) }})
}

// firstClaiming starts a controller when there is a pod that claims devices.
func firstClaiming(set *cache.Set, start func()) {
	cache.For[*corev1.Pod](set, client.Pods, cache.Options{}).Handle(cache.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod) {
			if devices.Has(p) {
				start()
			}
		},
	})
}

// firstEphemeral starts a controller when there is a pod with a generic ephemeral volume.
func firstEphemeral(set *cache.Set, start func()) {
	cache.For[*corev1.Pod](set, client.Pods, cache.Options{}).Handle(cache.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod) {
			if storage.HasEphemeral(p) {
				start()
			}
		},
	})
}
