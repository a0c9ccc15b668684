package health

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// graded says in the help of upstream's metrics how stable they are, as upstream does, and counts them by that.
type graded struct{ of prometheus.Gatherer }

// Gather implements prometheus.Gatherer.
func (g graded) Gather() ([]*dto.MetricFamily, error) {
	all, err := g.of.Gather()
	for _, f := range all {
		if grade := grades[f.GetName()]; grade != "" {
			help := "[" + grade + "] " + f.GetHelp()
			f.Help = &help
		}
	}
	return all, err
}

// grades are upstream's levels of stability of the metrics that it has too.
var grades = map[string]string{
	"apiserver_admission_controller_admission_duration_seconds":      "STABLE",
	"apiserver_admission_step_admission_duration_seconds":            "STABLE",
	"apiserver_admission_webhook_admission_duration_seconds":         "STABLE",
	"apiserver_current_inflight_requests":                            "STABLE",
	"apiserver_longrunning_requests":                                 "STABLE",
	"apiserver_request_duration_seconds":                             "STABLE",
	"apiserver_request_total":                                        "STABLE",
	"apiserver_requested_deprecated_apis":                            "STABLE",
	"apiserver_response_sizes":                                       "STABLE",
	"apiserver_storage_objects":                                      "STABLE",
	"apiserver_storage_size_bytes":                                   "STABLE",
	"apiserver_watch_events_sizes":                                   "BETA",
	"apiserver_watch_events_total":                                   "BETA",
	"kubernetes_feature_enabled":                                     "BETA",
	"apiserver_flowcontrol_current_executing_requests":               "BETA",
	"apiserver_flowcontrol_current_executing_seats":                  "BETA",
	"apiserver_flowcontrol_current_inqueue_requests":                 "BETA",
	"apiserver_flowcontrol_dispatched_requests_total":                "BETA",
	"apiserver_flowcontrol_nominal_limit_seats":                      "BETA",
	"apiserver_flowcontrol_rejected_requests_total":                  "BETA",
	"apiserver_flowcontrol_request_wait_duration_seconds":            "BETA",
	"apiserver_mutating_admission_policy_check_duration_seconds":     "BETA",
	"apiserver_mutating_admission_policy_check_total":                "BETA",
	"apiserver_validating_admission_policy_check_duration_seconds":   "BETA",
	"apiserver_validating_admission_policy_check_total":              "BETA",
	"kubernetes_build_info":                                          "BETA",
	"apiserver_admission_webhook_fail_open_count":                    "ALPHA",
	"apiserver_admission_webhook_rejection_count":                    "ALPHA",
	"apiserver_admission_webhook_request_total":                      "ALPHA",
	"apiserver_flowcontrol_current_limit_seats":                      "ALPHA",
	"apiserver_flowcontrol_lower_limit_seats":                        "ALPHA",
	"apiserver_flowcontrol_upper_limit_seats":                        "ALPHA",
	"apiserver_resource_objects":                                     "ALPHA",
	"workqueue_adds_total":                                           "BETA",
	"workqueue_depth":                                                "BETA",
	"workqueue_longest_running_processor_seconds":                    "BETA",
	"workqueue_queue_duration_seconds":                               "BETA",
	"workqueue_retries_total":                                        "BETA",
	"workqueue_unfinished_work_seconds":                              "BETA",
	"workqueue_work_duration_seconds":                                "BETA",
	"node_collector_evictions_total":                                 "ALPHA",
	"node_collector_unhealthy_nodes_in_zone":                         "ALPHA",
	"node_collector_zone_health":                                     "ALPHA",
	"node_collector_zone_size":                                       "ALPHA",
	"service_controller_loadbalancer_sync_total":                     "ALPHA",
	"service_controller_nodesync_error_total":                        "ALPHA",
	"service_controller_nodesync_latency_seconds":                    "ALPHA",
	"service_controller_update_loadbalancer_host_latency_seconds":    "ALPHA",
	"node_controller_cloud_provider_taint_removal_delay_seconds":     "ALPHA",
	"node_controller_initial_node_sync_delay_seconds":                "ALPHA",
	"cloud_node_lifecycle_controller_cloud_provider_calls_total":     "ALPHA",
	"cloud_node_lifecycle_controller_monitor_nodes_duration_seconds": "ALPHA",
	"route_controller_route_sync_total":                              "ALPHA",
	"version_info":                                                   "ALPHA",
}
