package unbuilt

// Controller is one that upstream's manager has and this program does not.
type Controller struct {
	Name  string
	Alias string // upstream's name of old, which --controllers takes too; "" where there is none
}

// Controllers may be named by --controllers, so that command lines written for upstream's manager keep their meaning: turning
// one off is no mistake, turning one on is answered by a warning in the log.
var Controllers = []Controller{
	{"serviceaccount-token-controller", "serviceaccount-token"},
	{"daemonset-controller", "daemonset"},
	{"job-controller", "job"},
	{"horizontal-pod-autoscaler-controller", "horizontalpodautoscaling"},
	{"disruption-controller", "disruption"},
	{"statefulset-controller", "statefulset"},
	{"cronjob-controller", "cronjob"},
	{"podcertificaterequest-cleaner-controller", ""},
	{"device-taint-eviction-controller", ""},
	{"persistentvolume-binder-controller", "persistentvolume-binder"},
	{"persistentvolume-attach-detach-controller", "attachdetach"},
	{"persistentvolume-expander-controller", "persistentvolume-expander"},
	{"podgroup-protection-controller", ""},
	{"ttl-after-finished-controller", "ttl-after-finished"},
	{"kube-apiserver-serving-clustertrustbundle-publisher-controller", ""},
	{"ephemeral-volume-controller", "ephemeral-volume"},
	{"storageversion-garbage-collector-controller", "storage-version-gc"},
	{"resourceclaim-controller", "resource-claim-controller"},
	{"resourcepoolstatusrequest-controller", ""},
	{"legacy-serviceaccount-token-cleaner-controller", "legacy-service-account-token-cleaner"},
	{"validatingadmissionpolicy-status-controller", ""},
	{"service-cidr-controller", ""},
	{"storage-version-migrator-controller", "svm"},
	{"selinux-warning-controller", ""},
}

// SchedulerPlugins are on by default in upstream's scheduler and not here.
var SchedulerPlugins = []string{
	"VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone", "PodTopologySpread", "InterPodAffinity",
	"DefaultPreemption", "DynamicResources", "NodeDeclaredFeatures",
}

// AdmissionPlugins are on by default in upstream's API server and not here.
var AdmissionPlugins = []string{}
