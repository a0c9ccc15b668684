package flowcontrol

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The objects that every cluster has, as upstream v1.37.1 makes them. The mandatory ones cannot be otherwise: without them some
// requests would have nowhere to go. The suggested ones are an administrator's to change, once the annotation on them says so.

// MandatoryLevels returns new copies of the priority levels exempt and catch-all.
func MandatoryLevels() []*flowcontrolv1.PriorityLevelConfiguration {
	return []*flowcontrolv1.PriorityLevelConfiguration{
		limitedLevel("catch-all", 5, 0, nil),
		level(exempt, flowcontrolv1.PriorityLevelConfigurationSpec{
			Type:   flowcontrolv1.PriorityLevelEnablementExempt,
			Exempt: &flowcontrolv1.ExemptPriorityLevelConfiguration{NominalConcurrencyShares: new(int32), LendablePercent: new(int32)},
		}),
	}
}

// SuggestedLevels returns new copies of the other priority levels.
func SuggestedLevels() []*flowcontrolv1.PriorityLevelConfiguration {
	return []*flowcontrolv1.PriorityLevelConfiguration{
		limitedLevel("system", 30, 33, queues(64, 6)),
		limitedLevel("node-high", 40, 25, queues(64, 6)),
		limitedLevel("leader-election", 10, 0, queues(16, 4)),
		limitedLevel("workload-high", 40, 50, queues(128, 6)),
		limitedLevel("workload-low", 100, 90, queues(128, 6)),
		limitedLevel("global-default", 20, 50, queues(128, 6)),
	}
}

const byUser, byNamespace = flowcontrolv1.FlowDistinguisherMethodByUserType, flowcontrolv1.FlowDistinguisherMethodByNamespaceType

// MandatorySchemas returns new copies of the flow schemas exempt and catch-all.
func MandatorySchemas() []*flowcontrolv1.FlowSchema {
	return []*flowcontrolv1.FlowSchema{
		schema(exempt, exempt, 1, "", everything(groups("system:masters"))),
		schema("catch-all", "catch-all", mostPrecedence, byUser, everything(anybody())),
	}
}

// SuggestedSchemas returns new copies of the other flow schemas.
func SuggestedSchemas() []*flowcontrolv1.FlowSchema {
	const manager, scheduler = "system:kube-controller-manager", "system:kube-scheduler"
	all := []string{"*"}
	rules := func(subjects []flowcontrolv1.Subject, list ...flowcontrolv1.ResourcePolicyRule) flowcontrolv1.PolicyRulesWithSubjects {
		return flowcontrolv1.PolicyRulesWithSubjects{Subjects: subjects, ResourceRules: list}
	}
	leases := func(verbs []string) flowcontrolv1.ResourcePolicyRule {
		return flowcontrolv1.ResourcePolicyRule{Verbs: verbs, APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Namespaces: all}
	}
	nodes := flowcontrolv1.ResourcePolicyRule{
		Verbs: all, APIGroups: []string{""}, Resources: []string{"nodes", "nodes/status"}, Namespaces: all, ClusterScope: true,
	}
	probes := flowcontrolv1.PolicyRulesWithSubjects{Subjects: anybody(), NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{
		{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz", "/readyz", "/livez"}},
	}}
	return []*flowcontrolv1.FlowSchema{
		schema("system-nodes", "system", 500, byUser, everything(groups("system:nodes"))),
		schema("system-node-high", "node-high", 400, byUser, rules(groups("system:nodes"), nodes, leases(all))),
		schema("probes", exempt, 2, "", probes),
		schema("system-leader-election", "leader-election", 100, byUser,
			rules(append(users(manager, scheduler), systemAccounts()...), leases([]string{"get", "create", "update"}))),
		schema("kube-controller-manager", "workload-high", 800, byNamespace, everything(users(manager))),
		schema("kube-scheduler", "workload-high", 800, byNamespace, everything(users(scheduler))),
		schema("kube-system-service-accounts", "workload-high", 900, byNamespace, everything(systemAccounts())),
		schema("service-accounts", "workload-low", 9000, byUser, everything(groups("system:serviceaccounts"))),
		schema("global-default", "global-default", 9900, byUser, everything(anybody())),
	}
}

func system(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Annotations: map[string]string{flowcontrolv1.AutoUpdateAnnotationKey: "true"}}
}

func level(name string, spec flowcontrolv1.PriorityLevelConfigurationSpec) *flowcontrolv1.PriorityLevelConfiguration {
	return &flowcontrolv1.PriorityLevelConfiguration{ObjectMeta: system(name), Spec: spec}
}

// limitedLevel has no queue where q is nil: what does not fit is refused.
func limitedLevel(name string, shares, lendable int32, q *flowcontrolv1.QueuingConfiguration) *flowcontrolv1.PriorityLevelConfiguration {
	response := flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject}
	if q != nil {
		response = flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeQueue, Queuing: q}
	}
	return level(name, flowcontrolv1.PriorityLevelConfigurationSpec{
		Type: flowcontrolv1.PriorityLevelEnablementLimited,
		Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
			NominalConcurrencyShares: &shares, LendablePercent: &lendable, LimitResponse: response,
		},
	})
}

func queues(n, hand int32) *flowcontrolv1.QueuingConfiguration {
	return &flowcontrolv1.QueuingConfiguration{Queues: n, HandSize: hand, QueueLengthLimit: 50}
}

func schema(name, level string, precedence int32, by flowcontrolv1.FlowDistinguisherMethodType, rules ...flowcontrolv1.PolicyRulesWithSubjects) *flowcontrolv1.FlowSchema {
	s := &flowcontrolv1.FlowSchema{ObjectMeta: system(name), Spec: flowcontrolv1.FlowSchemaSpec{
		PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: level}, MatchingPrecedence: precedence, Rules: rules,
	}}
	if by != "" {
		s.Spec.DistinguisherMethod = &flowcontrolv1.FlowDistinguisherMethod{Type: by}
	}
	return s
}

// everything is any request of the subjects.
func everything(subjects []flowcontrolv1.Subject) flowcontrolv1.PolicyRulesWithSubjects {
	all := []string{"*"}
	return flowcontrolv1.PolicyRulesWithSubjects{
		Subjects:         subjects,
		ResourceRules:    []flowcontrolv1.ResourcePolicyRule{{Verbs: all, APIGroups: all, Resources: all, Namespaces: all, ClusterScope: true}},
		NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{{Verbs: all, NonResourceURLs: all}},
	}
}

func anybody() []flowcontrolv1.Subject {
	return groups("system:unauthenticated", "system:authenticated")
}

func groups(names ...string) []flowcontrolv1.Subject {
	var out []flowcontrolv1.Subject
	for _, n := range names {
		out = append(out, flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindGroup, Group: &flowcontrolv1.GroupSubject{Name: n}})
	}
	return out
}

func users(names ...string) []flowcontrolv1.Subject {
	var out []flowcontrolv1.Subject
	for _, n := range names {
		out = append(out, flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindUser, User: &flowcontrolv1.UserSubject{Name: n}})
	}
	return out
}

func systemAccounts() []flowcontrolv1.Subject {
	return []flowcontrolv1.Subject{{
		Kind:           flowcontrolv1.SubjectKindServiceAccount,
		ServiceAccount: &flowcontrolv1.ServiceAccountSubject{Namespace: metav1.NamespaceSystem, Name: flowcontrolv1.NameAll},
	}}
}
