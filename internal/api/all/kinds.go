package all

import (
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/admissionregistration"
	"sampan.dev/internal/api/apiextensions"
	"sampan.dev/internal/api/apiregistration"
	"sampan.dev/internal/api/apps"
	"sampan.dev/internal/api/authentication"
	"sampan.dev/internal/api/authorization"
	"sampan.dev/internal/api/autoscaling"
	"sampan.dev/internal/api/batch"
	"sampan.dev/internal/api/certificates"
	"sampan.dev/internal/api/coordination"
	"sampan.dev/internal/api/core"
	"sampan.dev/internal/api/discovery"
	"sampan.dev/internal/api/events"
	"sampan.dev/internal/api/flowcontrol"
	"sampan.dev/internal/api/networking"
	"sampan.dev/internal/api/node"
	"sampan.dev/internal/api/policy"
	"sampan.dev/internal/api/rbac"
	"sampan.dev/internal/api/resource"
	"sampan.dev/internal/api/scheduling"
	"sampan.dev/internal/api/storage"
	"sampan.dev/internal/api/storagemigration"
)

// Kinds returns a new list of all kinds that are served by default. The groups come in the order of upstream's discovery, which tells
// clients whose short names win; the resources of a group come in the order of the alphabet.
func Kinds() *api.Kinds { return api.NewKinds(core.DropGroups(kinds())) }

// Grouped is Kinds with the feature GenericWorkload: pods name their scheduling group, and there are the kinds that describe one.
func Grouped() *api.Kinds {
	return api.NewKinds(kinds(scheduling.PodGroups(), scheduling.Workloads()))
}

func kinds(groups ...*api.Kind) []*api.Kind {
	return slices.Concat([]*api.Kind{
		core.Bindings(),
		core.ComponentStatuses(),
		core.ConfigMaps(),
		core.Endpoints(),
		core.Events(),
		core.LimitRanges(),
		core.Namespaces(),
		core.Nodes(),
		core.PersistentVolumeClaims(),
		core.PersistentVolumes(),
		core.Pods(),
		core.PodTemplates(),
		core.ReplicationControllers(),
		core.ResourceQuotas(),
		core.Secrets(),
		core.ServiceAccounts(),
		core.Services(),

		apiregistration.APIServices(),

		apps.ControllerRevisions(),
		apps.DaemonSets(),
		apps.Deployments(),
		apps.ReplicaSets(),
		apps.StatefulSets(),

		events.Events(),

		authentication.SelfSubjectReviews(),
		authentication.TokenReviews(),

		authorization.LocalSubjectAccessReviews(),
		authorization.SelfSubjectAccessReviews(),
		authorization.SelfSubjectRulesReviews(),
		authorization.SubjectAccessReviews(),

		autoscaling.Autoscalers(),
		autoscaling.AutoscalersV1(),

		batch.CronJobs(),
		batch.Jobs(),

		certificates.Requests(),
		certificates.TrustBundles(),
		certificates.PodRequests(),

		networking.IngressClasses(),
		networking.Ingresses(),
		networking.IPAddresses(),
		networking.NetworkPolicies(),
		networking.ServiceCIDRs(),

		policy.PodDisruptionBudgets(),

		rbac.ClusterRoleBindings(),
		rbac.ClusterRoles(),
		rbac.RoleBindings(),
		rbac.Roles(),

		storage.Drivers(),
		storage.Nodes(),
		storage.Capacities(),
		storage.Classes(),
		storage.Attachments(),
		storage.AttributesClasses(),

		admissionregistration.MutatingAdmissionPolicies(),
		admissionregistration.MutatingAdmissionPolicyBindings(),
		admissionregistration.MutatingWebhookConfigurations(),
		admissionregistration.ValidatingAdmissionPolicies(),
		admissionregistration.ValidatingAdmissionPolicyBindings(),
		admissionregistration.ValidatingWebhookConfigurations(),

		apiextensions.Definitions(),

		scheduling.PriorityClasses(),
	}, groups, []*api.Kind{
		coordination.Leases(),

		node.RuntimeClasses(),

		discovery.EndpointSlices(),

		resource.Classes(),
		resource.TaintRules(),
		resource.Claims(),
		resource.ClaimTemplates(),
		resource.Slices(),

		flowcontrol.FlowSchemas(),
		flowcontrol.PriorityLevels(),

		storagemigration.StorageVersionMigrations(),
	})
}
