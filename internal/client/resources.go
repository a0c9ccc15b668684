package client

import "k8s.io/apimachinery/pkg/runtime/schema"

// Resources that components name most.
var (
	Pods                   = core("pods")
	ComponentStatuses      = core("componentstatuses")
	Nodes                  = core("nodes")
	Namespaces             = core("namespaces")
	Services               = core("services")
	EndpointsResource      = core("endpoints")
	ConfigMaps             = core("configmaps")
	Secrets                = core("secrets")
	ServiceAccounts        = core("serviceaccounts")
	Events                 = core("events")
	LimitRanges            = core("limitranges")
	PersistentVolumeClaims = core("persistentvolumeclaims")
	PersistentVolumes      = core("persistentvolumes")
	ResourceQuotas         = core("resourcequotas")
	ReplicationControllers = core("replicationcontrollers")

	Deployments         = group("apps", "deployments")
	ReplicaSets         = group("apps", "replicasets")
	StatefulSets        = group("apps", "statefulsets")
	DaemonSets          = group("apps", "daemonsets")
	ControllerRevisions = group("apps", "controllerrevisions")

	PodDisruptionBudgets = group("policy", "poddisruptionbudgets")
	RuntimeClasses       = group("node.k8s.io", "runtimeclasses")

	SeriesEvents    = group("events.k8s.io", "events")
	EndpointSlices  = group("discovery.k8s.io", "endpointslices")
	Leases          = group("coordination.k8s.io", "leases")
	CSRs            = group("certificates.k8s.io", "certificatesigningrequests")
	PriorityClasses = group("scheduling.k8s.io", "priorityclasses")
	PodGroups       = schema.GroupVersionResource{Group: "scheduling.k8s.io", Version: "v1alpha3", Resource: "podgroups"}

	Jobs     = group("batch", "jobs")
	CronJobs = group("batch", "cronjobs")

	HorizontalPodAutoscalers = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}

	StorageClasses           = group("storage.k8s.io", "storageclasses")
	VolumeAttachments        = group("storage.k8s.io", "volumeattachments")
	VolumeAttributesClasses  = group("storage.k8s.io", "volumeattributesclasses")
	CSIDrivers               = group("storage.k8s.io", "csidrivers")
	CSINodes                 = group("storage.k8s.io", "csinodes")
	CSIStorageCapacities     = group("storage.k8s.io", "csistoragecapacities")
	ResourceSlices           = group("resource.k8s.io", "resourceslices")
	ResourceClaims           = group("resource.k8s.io", "resourceclaims")
	ResourceClaimTemplates   = group("resource.k8s.io", "resourceclaimtemplates")
	DeviceClasses            = group("resource.k8s.io", "deviceclasses")
	DeviceTaintRules         = group("resource.k8s.io", "devicetaintrules")
	ClusterTrustBundles      = group("certificates.k8s.io", "clustertrustbundles")
	StorageVersionMigrations = group("storagemigration.k8s.io", "storageversionmigrations")
	PodCertificateRequests   = group("certificates.k8s.io", "podcertificaterequests")

	Roles               = group("rbac.authorization.k8s.io", "roles")
	RoleBindings        = group("rbac.authorization.k8s.io", "rolebindings")
	ClusterRoles        = group("rbac.authorization.k8s.io", "clusterroles")
	ClusterRoleBindings = group("rbac.authorization.k8s.io", "clusterrolebindings")

	MutatingWebhooks          = group("admissionregistration.k8s.io", "mutatingwebhookconfigurations")
	ValidatingWebhooks        = group("admissionregistration.k8s.io", "validatingwebhookconfigurations")
	MutatingPolicies          = group("admissionregistration.k8s.io", "mutatingadmissionpolicies")
	MutatingPolicyBindings    = group("admissionregistration.k8s.io", "mutatingadmissionpolicybindings")
	ValidatingPolicies        = group("admissionregistration.k8s.io", "validatingadmissionpolicies")
	ValidatingPolicyBindings  = group("admissionregistration.k8s.io", "validatingadmissionpolicybindings")
	APIServices               = group("apiregistration.k8s.io", "apiservices")
	FlowSchemas               = group("flowcontrol.apiserver.k8s.io", "flowschemas")
	PriorityLevels            = group("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations")
	ServiceCIDRs              = group("networking.k8s.io", "servicecidrs")
	IPAddresses               = group("networking.k8s.io", "ipaddresses")
	IngressClasses            = group("networking.k8s.io", "ingressclasses")
	CustomResourceDefinitions = group("apiextensions.k8s.io", "customresourcedefinitions")

	TokenReviews         = group("authentication.k8s.io", "tokenreviews")
	SubjectAccessReviews = group("authorization.k8s.io", "subjectaccessreviews")
)

func core(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: resource}
}

func group(g, resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: g, Version: "v1", Resource: resource}
}
