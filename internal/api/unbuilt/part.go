package unbuilt

// Controller is one that upstream's manager has and this program does not.
type Controller struct {
	Name  string
	Alias string // upstream's name of old, which --controllers takes too; "" where there is none
	// InHub says that the API server does itself what upstream's controller does, so that it cannot be turned off here.
	InHub bool
	// Gate is upstream's feature gate that the controller needs, which is off by default in v1.37 as the kinds are that it is for: upstream
	// does not run it either. "" where there is none.
	Gate string
}

// Controllers may be named by --controllers, so that command lines written for upstream's manager keep their meaning: turning
// one off is no mistake, turning one on is answered by a warning in the log.
var Controllers = []Controller{
	{Name: "storageversion-garbage-collector-controller", Alias: "storage-version-gc", Gate: "StorageVersionAPI"},
	{Name: "resourcepoolstatusrequest-controller", Gate: "DRAResourcePoolStatus"},
	{Name: "validatingadmissionpolicy-status-controller", InHub: true},
	{Name: "selinux-warning-controller"},
}

// SchedulerPlugins are on by default in upstream's scheduler and not here.
var SchedulerPlugins = []string{}

// AdmissionPlugins are on by default in upstream's API server and not here.
var AdmissionPlugins = []string{}
