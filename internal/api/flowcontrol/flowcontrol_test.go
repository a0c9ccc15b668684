package flowcontrol

import (
	"fmt"
	"testing"

	"sampan.dev/internal/api/apitest"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
)

const (
	plainSchema = "apiVersion: flowcontrol.apiserver.k8s.io/v1\nkind: FlowSchema\nmetadata: {name: s}\nspec: {priorityLevelConfiguration: {name: l}, rules: [{subjects: [{kind: User, user: {name: u}}], nonResourceRules: [{verbs: ['*'], nonResourceURLs: ['*']}]}]}\n"
	plainLevel  = "apiVersion: flowcontrol.apiserver.k8s.io/v1\nkind: PriorityLevelConfiguration\nmetadata: {name: l}\nspec: {type: Limited, limited: {limitResponse: {type: Reject}}}\n"
)

func TestFlowSchema(t *testing.T) {
	rule := func(r string) string {
		return "spec: {rules: [{subjects: [{kind: User, user: {name: u}}], " + r + "}]}"
	}
	const at = "spec.rules[0]"
	apitest.Creates(t, FlowSchemas(), plainSchema, []apitest.Change{
		{"spec: {matchingPrecedence: 1}", "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"},
		{"spec: {matchingPrecedence: 10001}", "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"},
		{"spec: {distinguisherMethod: {type: X}}", `spec.distinguisherMethod.type: Unsupported value: {"Type":"X"}: supported values: "ByNamespace", "ByUser"`},
		{"spec: {priorityLevelConfiguration: {name: ''}}", "spec.priorityLevelConfiguration.name: Required value: must reference a priority level"},
		{"spec: {rules: [{}]}", at + ".subjects: Required value: subjects must contain at least one value\n" + at + ": Required value: at least one of resourceRules and nonResourceRules has to be non-empty"},
		{"spec: {rules: [{subjects: [{kind: Group, user: {name: u}}, {kind: X}], nonResourceRules: [{verbs: [X], nonResourceURLs: [/a*]}]}]}", at + ".subjects[0].group: Required value: group is required when subject kind is 'Group'\n" + at + ".subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'\n" + at + ".subjects[1].kind: Unsupported value: \"X\": supported values: \"Group\", \"ServiceAccount\", \"User\"\n" + at + ".nonResourceRules[0].verbs: Unsupported value: [\"X\"]: supported values: \"create\", \"delete\", \"deletecollection\", \"get\", \"list\", \"patch\", \"proxy\", \"update\", \"watch\"\n" + at + ".nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"/a*\": wildcard can only do suffix matching"},
		{rule("resourceRules: [{verbs: ['*', get], apiGroups: ['*', a], resources: []}]"), at + ".resourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, must not specify other verbs\n" + at + ".resourceRules[0].apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other api groups\n" + at + ".resourceRules[0].resources: Required value: resource rules must supply at least one resource\n" + at + ".resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace"},
		{"metadata: {name: exempt}", "spec: Invalid value: {\"PriorityLevelConfiguration\":…"},
	})
	apitest.Statuses(t, FlowSchemas(), plainSchema, "", []apitest.Change{
		{"status: {conditions: [{type: ''}, {type: a}]}", "status.conditions[0].type: Required value"},
	})
	if got := fmt.Sprint(FlowSchemas().Row(apitest.Read(t, FlowSchemas(), plainSchema, "status: {conditions: [{type: Dangling, status: 'True'}]}"))...); got != fmt.Sprint("s", "l", int64(1000), "<none>", flowcontrolv1.FlowSchema{}.CreationTimestamp, "True") {
		t.Error(got)
	}
}

func TestPriorityLevel(t *testing.T) {
	queue := func(q string) string { return "spec: {limited: {limitResponse: {type: Queue, queuing: {" + q + "}}}}" }
	const at = "spec.limited.limitResponse"
	apitest.Creates(t, PriorityLevels(), plainLevel, []apitest.Change{
		{"spec: {type: Exempt}", "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'\nspec.limited: Forbidden"},
		{"spec: {type: ''}", "spec.limited: Forbidden\nspec.type: Required value"},
		{"spec: {limited: null}", "spec.limited: Required value"},
		{"spec: {exempt: {}}", "spec.exempt: Forbidden"},
		{"spec: {limited: {lendablePercent: 101, borrowingLimitPercent: -1, limitResponse: {type: ''}}}", "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive\nspec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer\n" + at + ".type: Required value"},
		{queue("queues: 2"), at + ".queuing.handSize: Invalid value: 8: should not be greater than queues (2)"},
		{queue("queues: 1000, handSize: 9"), at + ".queuing.handSize: Invalid value: 9: required entropy bits of deckSize 1000 and handSize 9 should not be greater than 60"},
		{"metadata: {name: catch-all}", "spec: Invalid value: {\"Type\":\"Limited\",…"},
		{"metadata: {annotations: {flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares: ''}}", "metadata.annotations: Forbidden: annotation 'flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares' is forbidden"},
	})
	row := PriorityLevels().Row(apitest.Read(t, PriorityLevels(), plainLevel, queue("")))
	if got := fmt.Sprint(row[:6]...); got != fmt.Sprint("l", "Limited", int64(30), int64(64), int64(8), int64(50)) {
		t.Error(got)
	}
}

// The system's own objects are valid, and defaults add nothing to them.
func TestSystemObjects(t *testing.T) {
	schemas := append(MandatorySchemas(), SuggestedSchemas()...)
	levels := append(MandatoryLevels(), SuggestedLevels()...)
	if len(schemas) != 11 || len(levels) != 8 {
		t.Errorf("%d schemas, %d levels", len(schemas), len(levels))
	}
	names := map[string]bool{}
	for _, l := range levels {
		names[l.Name] = true
		before := apitest.JSON(t, l)
		PriorityLevels().Default(l)
		if errs := PriorityLevels().Validate(l); len(errs) > 0 || apitest.JSON(t, l) != before {
			t.Errorf("%s: %v", l.Name, errs)
		}
	}
	for _, s := range schemas {
		if errs := FlowSchemas().Validate(s); len(errs) > 0 || !names[s.Spec.PriorityLevelConfiguration.Name] {
			t.Errorf("%s: %v", s.Name, errs)
		}
	}
}
