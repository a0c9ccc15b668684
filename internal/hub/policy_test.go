package hub

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const policyPath = "/apis/admissionregistration.k8s.io/v1/"

// bound stores a policy and a binding of the same name; kind is "Validating" or "Mutating". Both are the specs, in YAML.
func bound(t *testing.T, h *Hub, kind, name, policy, binding string) {
	t.Helper()
	for i, text := range []string{policy, binding} {
		what, path := kind+"AdmissionPolicy", strings.ToLower(kind)+"admissionpolicies"
		if i == 1 {
			what, path = what+"Binding", strings.ToLower(kind)+"admissionpolicybindings"
			text = "policyName: " + name + "\n" + text
		}
		spec, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`{"apiVersion":"admissionregistration.k8s.io/v1","kind":%q,"metadata":{"name":%q},"spec":%s}`, what, name, spec)
		expect(t, h, "201 POST "+policyPath+path, body)
	}
}

func unbound(t *testing.T, h *Hub, kind, name string) {
	t.Helper()
	expect(t, h, "200 DELETE "+policyPath+strings.ToLower(kind)+"admissionpolicybindings/"+name, "")
	expect(t, h, "200 DELETE "+policyPath+strings.ToLower(kind)+"admissionpolicies/"+name, "")
}

const aboutConfigMaps = `
matchConstraints:
  resourceRules: [{operations: [CREATE, UPDATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]
`

const deny = "validationActions: [Deny]\n"

func TestValidatingAdmissionPolicy(t *testing.T) {
	h := start(t, nil)
	expect(t, h, "201 POST "+configMaps, `{"metadata":{"name":"limit","labels":{"for":"v"}},"data":{"max":"1"}}`)
	expect(t, h, "201 POST "+configMaps, `{"metadata":{"name":"wide","labels":{"for":"v"}},"data":{"max":"9"}}`)
	for i, c := range []struct {
		policy, binding string
		code            int
		want            string // a part of the answer
		warning         string
	}{
		{"validations: [{expression: object.data.size() < 2}]", deny, 422, `"message":"configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'v' with binding 'v' denied request: failed expression: object.data.size() \u003c 2",` +
			`"reason":"Invalid","details":{"name":"x","kind":"configmaps","causes":[{"message":"ValidatingAdmissionPolicy 'v' with binding 'v' denied request: failed expression: object.data.size() \u003c 2"}]},"code":422`, ""},
		{"validations: [{expression: object.data.size() < 2, message: ' too many ', reason: Forbidden}]", deny, 403, `denied request: too many","reason":"Forbidden"`, ""},
		{"validations: [{expression: object.data.size() < 2, messageExpression: '\"too many: \" + string(object.data.size())', message: other, reason: RequestEntityTooLarge}]", deny, 413, `denied request: too many: 2`, ""},
		{"validations: [{expression: object.data.size() < 2, messageExpression: string(object.nosuch), message: other}]", deny, 422, `denied request: other`, ""},
		{"validations: [{expression: object.data.nosuch == '1'}]", deny, 422, `denied request: expression 'object.data.nosuch == '1'' resulted in error: no such key: nosuch`, ""},
		{"failurePolicy: Ignore\nvalidations: [{expression: object.data.nosuch == '1'}]", deny, 201, "", ""},
		{"validations: [{expression: object.data.size() < 2}]", "validationActions: [Warn, Audit]", 201, "", "Validation failed for ValidatingAdmissionPolicy 'v' with binding 'v': failed expression: object.data.size() < 2"},
		{"variables: [{name: size, expression: object.data.size()}, {name: more, expression: variables.size + 1}]\nvalidations: [{expression: variables.more > 3, messageExpression: '\"it is \" + string(variables.more)'}]", deny, 422, "denied request: it is 3", ""},
		{"matchConditions: [{name: other, expression: request.name != 'x'}]\nvalidations: [{expression: 'false'}]", deny, 201, "", ""},
		{"validations: [{expression: \"namespaceObject.metadata.name == 'default' && request.operation == 'CREATE' && request.userInfo.username == 'admin' && oldObject == null\"}]", deny, 201, "", ""},
		{"validations: [{expression: \"authorizer.group('').resource('configmaps').namespace('default').check('create').allowed() && !authorizer.path('/x').check('get').errored()\"}]", deny, 201, "", ""},
		{"validations: [{expression: 'object.data.all(a, object.data.all(b, object.data.all(c, object.data.all(d, a.matches(b+c+d+\".*.*.*\") || true))))'}]", deny, 201, "", ""},

		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: object.data.size() <= int(params.data.max), messageExpression: '\"at most \" + params.data.max'}]",
			deny + "paramRef: {name: limit, namespace: default, parameterNotFoundAction: Deny}", 422, "denied request: at most 1", ""},
		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: object.data.size() <= int(params.data.max), messageExpression: '\"at most \" + params.data.max'}]",
			deny + "paramRef: {name: wide, parameterNotFoundAction: Deny}", 201, "", ""},
		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: object.data.size() <= int(params.data.max), messageExpression: '\"at most \" + params.data.max'}]",
			deny + "paramRef: {selector: {matchLabels: {for: v}}, parameterNotFoundAction: Deny}", 422, "denied request: at most 1", ""},
		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: 'false'}]", deny + "paramRef: {name: none, parameterNotFoundAction: Deny}", 422,
			"ValidatingAdmissionPolicy 'v' with binding 'v' denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction", ""},
		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: 'false'}]", deny + "paramRef: {name: none, parameterNotFoundAction: Allow}", 201, "", ""},
		{"paramKind: {apiVersion: v1, kind: ConfigMap}\nvalidations: [{expression: params == null}]", deny, 201, "", ""},
		{"paramKind: {apiVersion: example.com/v1, kind: Nosuch}\nvalidations: [{expression: 'true'}]", deny, 422,
			"ValidatingAdmissionPolicy 'v' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Nosuch'", ""},

		{"validations: [{expression: 'false'}]", deny + "matchResources: {namespaceSelector: {matchLabels: {no: such}}}", 201, "", ""},
		{"validations: [{expression: 'false'}]", deny + "matchResources: {excludeResourceRules: [{resourceNames: [x], operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}]}", 201, "", ""},
		{"validations: [{expression: 'false'}]", deny + "matchResources: {resourceRules: [{resourceNames: [x], operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}]}", 422, "", ""},
	} {
		bound(t, h, "Validating", "v", c.policy+aboutConfigMaps, c.binding)
		a := do(h, "POST", configMaps, configMap("x", `"a":"1","b":"2"`))
		if a.code != c.code || !strings.Contains(string(a.body), c.want) {
			t.Errorf("%d: %d %s\nwant %d %s", i, a.code, a.body, c.code, c.want)
		}
		if got := a.header.Get("Warning"); c.warning != "" && got != `299 - "`+c.warning+`"` || c.warning == "" && got != "" {
			t.Errorf("%d: warning %q, want %q", i, got, c.warning)
		}
		unbound(t, h, "Validating", "v")
		if a.code == 201 {
			expect(t, h, "200 DELETE "+configMaps+"/x", "")
		}
	}
}

func TestMutatingAdmissionPolicy(t *testing.T) {
	h := start(t, nil)
	const conf = "reinvocationPolicy: Never" + aboutConfigMaps
	apply := func(expression string) string {
		data, _ := json.Marshal(expression)
		return conf + "mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: " + string(data) + "}}]"
	}
	patch := func(expression string) string {
		data, _ := json.Marshal(expression)
		return conf + "mutations: [{patchType: JSONPatch, jsonPatch: {expression: " + string(data) + "}}]"
	}
	for i, c := range []struct {
		policy string
		code   int
		want   string // the labels, or a part of the answer
	}{
		{apply(`Object{metadata: Object.metadata{labels: {"added": object.data.a}}}`), 201, "map[added:1 was:here]"},
		{patch(`[JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("x/y"), value: "v"}, JSONPatch{op: "remove", path: "/metadata/labels/was"}]`), 201, "map[x/y:v]"},
		{patch(`[JSONPatch{op: "test", path: "/data/a", value: "other"}, JSONPatch{op: "remove", path: "/metadata/labels"}]`), 201, "map[was:here]"},
		{patch(`[JSONPatch{op: "add", path: "/nosuch/x", value: "v"}]`), 403, `"message":"policy 'm' with binding 'm' denied request: JSON Patch: add operation does not apply: doc is missing path: \"/nosuch/x\": missing value","reason":"Invalid"`},
		{apply(`Object{nosuch: "x"}`), 403, `.nosuch: field not declared in schema`},
		{apply(`Object{metadata: Object.metadata{labels: {"a": string(object.nosuch)}}}`), 403, "resulted in error: no such key: nosuch"},
		{"failurePolicy: Ignore\n" + apply(`Object{metadata: Object.metadata{labels: {"a": string(object.nosuch)}}}`), 201, "map[was:here]"},
		{"variables: [{name: l, expression: '{\"v\": \"x\"}'}]\n" + apply(`Object{metadata: Object.metadata{labels: variables.l}}`), 201, "map[v:x was:here]"},
	} {
		bound(t, h, "Mutating", "m", c.policy, "matchResources: {}")
		a := do(h, "POST", configMaps, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","labels":{"was":"here"}},"data":{"a":"1"}}`)
		got := string(a.body)
		if a.code == 201 {
			got = fmt.Sprint(dig(a.object(t), "metadata.labels"))
			if managed := fmt.Sprint(dig(a.object(t), "metadata.managedFields")); strings.Contains(managed, "f:added") {
				t.Errorf("%d: managed fields: %s", i, managed)
			}
			expect(t, h, "200 DELETE "+configMaps+"/x", "")
		}
		if a.code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%d: %d %s\nwant %d %s", i, a.code, got, c.code, c.want)
		}
		unbound(t, h, "Mutating", "m")
	}
}

// A policy is applied again when another has changed the object after it, and only if it wants to.
func TestReinvocationOfPolicies(t *testing.T) {
	h := start(t, nil)
	count := func(policy, name string) string {
		return "reinvocationPolicy: " + policy + aboutConfigMaps + `mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{metadata: Object.metadata{annotations: {'` + name +
			`': string(object.data.size()) + (has(object.metadata.annotations) && '` + name + `' in object.metadata.annotations ? object.metadata.annotations['` + name + `'] : '')}}}"}}]`
	}
	bound(t, h, "Mutating", "a", count("IfNeeded", "a"), "matchResources: {}")
	bound(t, h, "Mutating", "b", count("Never", "b"), "matchResources: {}")
	a := expect(t, h, "201 POST "+configMaps, configMap("x", `"k":"v"`))
	if got := fmt.Sprint(dig(a.object(t), "metadata.annotations")); got != "map[a:11 b:1]" {
		t.Errorf("annotations %s", got)
	}
}

// What a policy changes in a kind with a type of its own comes back with its defaults.
func TestMutatingTypedObjects(t *testing.T) {
	h := start(t, withoutAccounts)
	bound(t, h, "Mutating", "side", `
reinvocationPolicy: IfNeeded
matchConstraints:
  resourceRules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]
matchConditions: [{name: once, expression: "!object.spec.containers.exists(c, c.name == 'side')"}]
mutations:
- patchType: ApplyConfiguration
  applyConfiguration:
    expression: "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'side', image: 'side:1'}]}}"
`, "matchResources: {}")
	a := expect(t, h, "201 POST /api/v1/namespaces/default/pods", `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	containers, _ := dig(a.object(t), "spec.containers").([]any)
	if len(containers) != 2 || containers[1].(map[string]any)["imagePullPolicy"] != "IfNotPresent" {
		t.Errorf("%s", a.body)
	}
}

// What the types of what a policy is about say of its expressions stands in its status.
func TestPolicyStatus(t *testing.T) {
	h := start(t, nil)
	status := func(name string) any {
		var st map[string]any
		until(t, func() bool {
			st, _ = dig(do(h, "GET", policyPath+"validatingadmissionpolicies/"+name, "").object(t), "status").(map[string]any)
			return st["observedGeneration"] != nil
		})
		return st
	}
	const deployments = `
matchConstraints:
  resourceRules: [{operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]
`
	bound(t, h, "Validating", "good", "validations: [{expression: 'object.spec.replicas < 5'}]"+deployments, deny)
	if got := fmt.Sprint(status("good")); got != "map[observedGeneration:1 typeChecking:map[]]" {
		t.Errorf("%s", got)
	}
	bound(t, h, "Validating", "bad", "variables: [{name: r, expression: object.spec.replicas}]\nvalidations: [{expression: 'object.spec.nosuch < 5', messageExpression: 'string(variables.r + \"x\")'}]"+deployments, deny)
	warnings, _ := dig(status("bad").(map[string]any), "typeChecking.expressionWarnings").([]any)
	if len(warnings) != 2 {
		t.Fatalf("%v", status("bad"))
	}
	for i, want := range []string{
		"spec.validations[0].expression apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'nosuch'\n | object.spec.nosuch < 5\n | ...........^\n",
		"spec.validations[0].messageExpression apps/v1, Kind=Deployment: ERROR: <input>:1:20: found no matching overload for '_+_' applied to '(int, string)'\n | string(variables.r + \"x\")\n | ...................^\n",
	} {
		w := warnings[i].(map[string]any)
		if got := fmt.Sprint(w["fieldRef"], " ", w["warning"]); got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
}

// Nobody has parameters read for him that he may not read himself.
func TestAuthorsOfPoliciesHaveRights(t *testing.T) {
	h := start(t, nil)
	expect(t, h, "201 POST /apis/rbac.authorization.k8s.io/v1/clusterroles", `{"metadata":{"name":"author"},"rules":[{"apiGroups":["admissionregistration.k8s.io"],"resources":["*"],"verbs":["*"]},{"apiGroups":[""],"resources":["configmaps"],"verbs":["get"]}]}`)
	expect(t, h, "201 POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings", `{"metadata":{"name":"author"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"author"},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"ann"}]}`)
	policy := func(name, kind string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"paramKind":{"apiVersion":"v1","kind":%q},"matchConstraints":{"resourceRules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"]}]},"validations":[{"expression":"true"}]}}`, name, kind)
	}
	const path, bindings = policyPath + "validatingadmissionpolicies", policyPath + "validatingadmissionpolicybindings"
	until(t, func() bool { return do(h, "POST", path, policy("maps", "ConfigMap"), "X-User: ann").code == 201 })
	a := expect(t, h, "422 POST "+path, policy("secrets", "Secret"), "X-User: ann")
	if want := "spec.paramKind: Forbidden: user &{ann  [system:authenticated] map[]} must have \"get\" permission on all objects of the referenced paramKind (kind=Secret, apiVersion=v1)"; !strings.Contains(a.status(t).Message, want) {
		t.Errorf("%s", a.body)
	}
	expect(t, h, "201 POST "+bindings, `{"metadata":{"name":"a"},"spec":{"policyName":"maps","validationActions":["Deny"],"paramRef":{"name":"x","namespace":"default","parameterNotFoundAction":"Deny"}}}`, "X-User: ann")
	a = expect(t, h, "422 POST "+bindings, `{"metadata":{"name":"b"},"spec":{"policyName":"maps","validationActions":["Deny"],"paramRef":{"selector":{},"parameterNotFoundAction":"Deny"}}}`, "X-User: ann")
	if want := "spec.paramRef: Forbidden: user &{ann  [system:authenticated] map[]} does not have \"list\" permission on the object referenced by paramRef"; !strings.Contains(a.status(t).Message, want) {
		t.Errorf("%s", a.body)
	}
}

// Plugins that are off by default, one after another.
func TestOptionalPlugins(t *testing.T) {
	const pods = "/api/v1/namespaces/default/pods"
	pod := func(more string) string {
		return `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i:1","resources":{"limits":{"example.com/d":"1"}}}],"initContainers":[{"name":"i","image":"i:1"}]` + more + `}}`
	}
	for _, c := range []struct {
		plugin, more string
		code         int
		path, want   string
	}{
		{"", "", 201, "spec.containers", "imagePullPolicy:IfNotPresent"},
		{"AlwaysPullImages", "", 201, "spec.initContainers", "imagePullPolicy:Always"},
		{"ExtendedResourceToleration", "", 201, "spec.tolerations", "map[effect:NoSchedule key:example.com/d operator:Exists]"},
		{"LimitPodHardAntiAffinityTopology", `,"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"zone","labelSelector":{}}]}}`, 403, "message",
			`pods "p" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key kubernetes.io/hostname is allowed`},
		{"PodNodeSelector", "", 201, "spec.nodeSelector", "map[a:b]"},
		{"PodNodeSelector", `,"nodeSelector":{"a":"c"}`, 403, "message", `pods "p" is forbidden: pod node label selector conflicts with its namespace node label selector`},
		{"AlwaysDeny", "", 403, "message", `pods "p" is forbidden: admission control is denying all modifications`},
		{"NamespaceExists", "", 201, "metadata.name", "p"},
	} {
		h := start(t, func(cfg *Config) { withoutAccounts(cfg) })
		expect(t, h, "200 PATCH /api/v1/namespaces/default", `{"metadata":{"annotations":{"scheduler.alpha.kubernetes.io/node-selector":"a=b"}}}`, mergeIt)
		if c.plugin != "" {
			h = start(t, func(cfg *Config) {
				withoutAccounts(cfg)
				cfg.Store, cfg.EnableAdmission = keptStore{h.cfg.Store}, map[string]bool{c.plugin: true}
				cfg.Bootstrap = false
			})
		}
		a := do(h, "POST", pods, pod(c.more))
		if got := fmt.Sprint(dig(a.object(t), c.path)); a.code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %s\nwant %d %s", c.plugin, a.code, a.body, c.code, c.want)
		}
	}
}
