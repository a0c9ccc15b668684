package metrics

// Family is one of the metrics that are counted.
type Family uint8

// The families. Their labels, in order, stand in the list below.
const (
	StartedPods Family = iota
	StartedPodErrors
	StartedContainers
	StartedContainerErrors
	StartedUserNamespacedPods
	StartedUserNamespacedPodErrors
	Evictions
	Preemptions
	AdmissionRejections
	ImagesCollected
	ImageVolumesRequested
	ImageVolumesMounted
	ImageVolumeErrors
	PodStart
	SandboxRun
	SandboxErrors
	CSIOperations
	families
)

type family struct {
	name, level, help string
	labels            []string
	buckets           []float64 // of a histogram, in seconds
}

// usual are Prometheus' own buckets.
var usual = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// slow are the bounds of what storage takes.
var slow = []float64{.1, .25, .5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600}

// counted is the literal list. A family without labels is told from the beginning, at 0.
var counted = [families]family{
	StartedPods:                    {name: "kubelet_started_pods_total", level: "ALPHA", help: "Cumulative number of pods started"},
	StartedPodErrors:               {name: "kubelet_started_pods_errors_total", level: "ALPHA", help: "Cumulative number of errors when starting pods"},
	StartedContainers:              {name: "kubelet_started_containers_total", level: "ALPHA", help: "Cumulative number of containers started", labels: []string{"container_type"}},
	StartedContainerErrors:         {name: "kubelet_started_containers_errors_total", level: "ALPHA", help: "Cumulative number of errors when starting containers", labels: []string{"container_type", "code"}},
	StartedUserNamespacedPods:      {name: "kubelet_started_user_namespaced_pods_total", level: "ALPHA", help: "Cumulative number of pods with user namespaces started. This metric will only be collected on Linux."},
	StartedUserNamespacedPodErrors: {name: "kubelet_started_user_namespaced_pods_errors_total", level: "ALPHA", help: "Cumulative number of errors when starting pods with user namespaces. This metric will only be collected on Linux."},
	Evictions:                      {name: "kubelet_evictions", level: "ALPHA", help: "Cumulative number of pod evictions by eviction signal", labels: []string{"eviction_signal"}},
	Preemptions:                    {name: "kubelet_preemptions", level: "ALPHA", help: "Cumulative number of pod preemptions by preemption resource", labels: []string{"preemption_signal"}},
	AdmissionRejections:            {name: "kubelet_admission_rejections_total", level: "ALPHA", help: "Cumulative number pod admission rejections by the Kubelet.", labels: []string{"reason"}},
	ImagesCollected:                {name: "kubelet_image_garbage_collected_total", level: "ALPHA", help: "Total number of images garbage collected by the kubelet, whether through disk usage or image age.", labels: []string{"reason"}},
	ImageVolumesRequested:          {name: "kubelet_image_volume_requested_total", level: "BETA", help: "Number of requested image volumes."},
	ImageVolumesMounted:            {name: "kubelet_image_volume_mounted_succeed_total", level: "BETA", help: "Number of successful image volume mounts."},
	ImageVolumeErrors:              {name: "kubelet_image_volume_mounted_errors_total", level: "BETA", help: "Number of failed image volume mounts."},
	PodStart: {name: "kubelet_pod_start_duration_seconds", level: "ALPHA", help: "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
		buckets: []float64{0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600}},
	SandboxRun:    {name: "kubelet_run_podsandbox_duration_seconds", level: "ALPHA", help: "Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.", labels: []string{"runtime_handler"}, buckets: usual},
	SandboxErrors: {name: "kubelet_run_podsandbox_errors_total", level: "ALPHA", help: "Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler.", labels: []string{"runtime_handler"}},
	CSIOperations: {name: "csi_operations_seconds", level: "ALPHA", help: "Container Storage Interface operation duration with gRPC error code status total",
		labels: []string{"driver_name", "method_name", "grpc_status_code", "migrated"}, buckets: slow},
}
