package fairness

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AutoUpdate is the annotation of objects that the server keeps as it wants them.
const AutoUpdate = flowcontrolv1.AutoUpdateAnnotationKey

// Mandatory reports whether a schema or a level of that name is kept as it is whatever anybody writes: without it there would be
// requests that belong nowhere.
func Mandatory(name string) bool {
	return name == flowcontrolv1.PriorityLevelConfigurationNameExempt || name == flowcontrolv1.PriorityLevelConfigurationNameCatchAll
}

// Defaults are upstream's schemas and levels (apiserver/pkg/apis/flowcontrol/bootstrap), new ones each time.
func Defaults() ([]*flowcontrolv1.FlowSchema, []*flowcontrolv1.PriorityLevelConfiguration) {
	byUser, byNamespace := flowcontrolv1.FlowDistinguisherMethodByUserType, flowcontrolv1.FlowDistinguisherMethodByNamespaceType
	anyone := []flowcontrolv1.Subject{group("system:unauthenticated"), group(api.GroupAuthenticated)}
	all := []string{"*"}
	everything := flowcontrolv1.PolicyRulesWithSubjects{
		ResourceRules:    []flowcontrolv1.ResourcePolicyRule{{Verbs: all, APIGroups: all, Resources: all, ClusterScope: true, Namespaces: all}},
		NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{{Verbs: all, NonResourceURLs: all}},
	}
	leases := flowcontrolv1.ResourcePolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{client.Leases.Resource}, Namespaces: all}
	election, nodeLeases := leases, leases
	election.Verbs, nodeLeases.Verbs = []string{"get", "create", "update"}, all
	nodes := flowcontrolv1.ResourcePolicyRule{Verbs: all, APIGroups: []string{""}, Resources: []string{client.Nodes.Resource, client.Nodes.Resource + "/status"}, ClusterScope: true, Namespaces: all}
	system := account("kube-system", "*")
	schemas := []*flowcontrolv1.FlowSchema{
		newFlow("exempt", "exempt", 1, "", everything, group(api.GroupMasters)),
		newFlow("probes", "exempt", 2, "", flowcontrolv1.PolicyRulesWithSubjects{NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{
			{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz", "/readyz", "/livez"}}}}, anyone...),
		newFlow("system-leader-election", "leader-election", 100, byUser, flowcontrolv1.PolicyRulesWithSubjects{ResourceRules: []flowcontrolv1.ResourcePolicyRule{election}},
			user(api.UserControllers), user(api.UserScheduler), system),
		newFlow("system-node-high", "node-high", 400, byUser, flowcontrolv1.PolicyRulesWithSubjects{ResourceRules: []flowcontrolv1.ResourcePolicyRule{nodes, nodeLeases}}, group(api.GroupNodes)),
		newFlow("system-nodes", "system", 500, byUser, everything, group(api.GroupNodes)),
		newFlow("kube-controller-manager", "workload-high", 800, byNamespace, everything, user(api.UserControllers)),
		newFlow("kube-scheduler", "workload-high", 800, byNamespace, everything, user(api.UserScheduler)),
		newFlow("kube-system-service-accounts", "workload-high", 900, byNamespace, everything, system),
		newFlow("service-accounts", "workload-low", 9000, byUser, everything, group("system:serviceaccounts")),
		newFlow("global-default", "global-default", 9900, byUser, everything, anyone...),
		newFlow("catch-all", "catch-all", 10000, byUser, everything, anyone...),
	}
	levels := []*flowcontrolv1.PriorityLevelConfiguration{
		{ObjectMeta: kept("catch-all"), Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
			Type: flowcontrolv1.PriorityLevelEnablementLimited, Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
				NominalConcurrencyShares: new(int32(5)), LendablePercent: new(int32(0)),
				LimitResponse: flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject}}}},
		{ObjectMeta: kept("exempt"), Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
			Type: flowcontrolv1.PriorityLevelEnablementExempt, Exempt: &flowcontrolv1.ExemptPriorityLevelConfiguration{
				NominalConcurrencyShares: new(int32(0)), LendablePercent: new(int32(0))}}},
		newLevel("global-default", 20, 50, 128, 6),
		newLevel("leader-election", 10, 0, 16, 4),
		newLevel("node-high", 40, 25, 64, 6),
		newLevel("system", 30, 33, 64, 6),
		newLevel("workload-high", 40, 50, 128, 6),
		newLevel("workload-low", 100, 90, 128, 6),
	}
	return schemas, levels
}

func kept(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Annotations: map[string]string{AutoUpdate: "true"}}
}

func user(name string) flowcontrolv1.Subject {
	return flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindUser, User: &flowcontrolv1.UserSubject{Name: name}}
}

func group(name string) flowcontrolv1.Subject {
	return flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindGroup, Group: &flowcontrolv1.GroupSubject{Name: name}}
}

func account(namespace, name string) flowcontrolv1.Subject {
	return flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindServiceAccount, ServiceAccount: &flowcontrolv1.ServiceAccountSubject{Namespace: namespace, Name: name}}
}

func newFlow(name, level string, precedence int32, by flowcontrolv1.FlowDistinguisherMethodType, rule flowcontrolv1.PolicyRulesWithSubjects, subjects ...flowcontrolv1.Subject) *flowcontrolv1.FlowSchema {
	rule.Subjects = subjects
	s := &flowcontrolv1.FlowSchema{ObjectMeta: kept(name), Spec: flowcontrolv1.FlowSchemaSpec{
		PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: level}, MatchingPrecedence: precedence,
		Rules: []flowcontrolv1.PolicyRulesWithSubjects{rule},
	}}
	if by != "" {
		s.Spec.DistinguisherMethod = &flowcontrolv1.FlowDistinguisherMethod{Type: by}
	}
	return s
}

func newLevel(name string, shares, lendable, queues, hand int32) *flowcontrolv1.PriorityLevelConfiguration {
	return &flowcontrolv1.PriorityLevelConfiguration{ObjectMeta: kept(name), Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
		Type: flowcontrolv1.PriorityLevelEnablementLimited,
		Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
			NominalConcurrencyShares: &shares, LendablePercent: &lendable,
			LimitResponse: flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeQueue,
				Queuing: &flowcontrolv1.QueuingConfiguration{Queues: queues, HandSize: hand, QueueLengthLimit: 50}},
		},
	}}
}
