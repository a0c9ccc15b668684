package networking

import (
	"fmt"
	"testing"

	"sampan.dev/internal/api/apitest"

	networkingv1 "k8s.io/api/networking/v1"
)

const plainIngress = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i, namespace: ns}
spec: {rules: [{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}
`

func TestIngress(t *testing.T) {
	path := func(fields string) string { return "spec: {rules: [{http: {paths: [{" + fields + "}]}}]}" }
	const fine, at = "backend: {service: {name: s, port: {number: 80}}}", "spec.rules[0].http.paths[0]"
	apitest.Creates(t, Ingresses(), plainIngress, []apitest.Change{
		{"spec: {rules: []}", "spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"},
		{"spec: {rules: [{host: 1.2.3.4}]}", `spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address`},
		{"spec: {rules: [{host: a.*.b}]}", `spec.rules[0].host: Invalid value: "a.*.b": a wildcard DNS-1123 subdomain must start with '*.'…`},
		{path(fine), at + ".pathType: Required value: pathType must be specified"},
		{path("pathType: X, " + fine), at + `.pathType: Unsupported value: "X": supported values: "Exact", "ImplementationSpecific", "Prefix"`},
		{path("pathType: Exact, path: a/../b/., " + fine), at + ".path: Invalid value: \"a/../b/.\": must be an absolute path\n" + at + ".path: Invalid value: \"a/../b/.\": must not contain '/../'\n" + at + ".path: Invalid value: \"a/../b/.\": cannot end with '/.'"},
		{path("pathType: Prefix, path: /, backend: {}"), at + `.backend: Invalid value: "": resource or service backend is required`},
		{path("pathType: Prefix, path: /, backend: {service: {port: {name: a, number: 1}}}"), at + ".backend.service.name: Required value\n" + at + `.backend: Invalid value: "": cannot set both port name & port number`},
		{"metadata: {annotations: {kubernetes.io/ingress.class: a}}\nspec: {ingressClassName: b}", "annotations.kubernetes.io/ingress.class: Invalid value: \"a\": must match `ingressClassName` when both are specified"},
		{"spec: {tls: [{secretName: A_}]}", `spec.tls[0].secretName: Invalid value: "A_": a lowercase RFC 1123 subdomain…`},
	})
	apitest.Updates(t, Ingresses(), plainIngress, "spec: {tls: [{secretName: A_}]}", []apitest.Change{{"metadata: {labels: {a: b}}", ""}}) // it was let pass once
	apitest.Statuses(t, Ingresses(), plainIngress, "", []apitest.Change{
		{"status: {loadBalancer: {ingress: [{ip: x}, {hostname: 1.2.3.4}]}}", "status.loadBalancer.ingress[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)\nstatus.loadBalancer.ingress[1].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"},
	})
	old := apitest.Read(t, Ingresses(), plainIngress, "metadata: {annotations: {kubernetes.io/ingress.class: a}}")
	if got := fmt.Sprint(Ingresses().Warnings(old, nil), Ingresses().Warnings(old, old)); got != `[annotation "kubernetes.io/ingress.class" is deprecated, please use 'spec.ingressClassName' instead] []` {
		t.Error(got)
	}
	row := Ingresses().Row(apitest.Read(t, Ingresses(), plainIngress, "spec: {tls: [{}], rules: [{host: a}, {host: b}, {host: c}, {host: d}]}\nstatus: {loadBalancer: {ingress: [{ip: 2.2.2.2}, {hostname: a.b}, {ip: 1.1.1.1}]}}"))
	if got := fmt.Sprint(row[1:5]...); got != fmt.Sprint("<none>", "a,b,c + 1 more...", "1.1.1.1,2.2.2.2,a.b", "80, 443") {
		t.Error(got)
	}
}

func TestIngressClass(t *testing.T) {
	const plain = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: c}\nspec: {controller: a.b/c}\n"
	apitest.Creates(t, IngressClasses(), plain, []apitest.Change{
		{"spec: {controller: x}", `spec.controller: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")`},
		{"spec: {parameters: {scope: X}}", "spec.parameters.scope: Unsupported value: \"X\": supported values: \"Cluster\", \"Namespace\"\nspec.parameters.kind: Required value\nspec.parameters.name: Required value"},
		{"spec: {parameters: {kind: K, name: n, namespace: x}}", "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"},
		{"spec: {parameters: {kind: K, name: n, scope: Namespace}}", "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"},
	})
	apitest.Updates(t, IngressClasses(), plain, "", []apitest.Change{{"spec: {controller: a.b/d}", `spec.controller: Invalid value: "a.b/d": field is immutable`}})
	row := IngressClasses().Row(apitest.Read(t, IngressClasses(), plain, "metadata: {annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}}\nspec: {parameters: {apiGroup: g, kind: K, name: o}}"))
	if got := fmt.Sprint(row[:3]...); got != fmt.Sprint("c (default)", "a.b/c", "K.g/o") {
		t.Error(got)
	}
}

func TestNetworkPolicy(t *testing.T) {
	const plain = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: ns}\nspec: {podSelector: {}}\n"
	from := func(peer string) string { return "spec: {ingress: [{from: [" + peer + "]}]}" }
	const at = "spec.ingress[0].from[0]"
	apitest.Creates(t, NetworkPolicies(), plain, []apitest.Change{
		{"spec: {policyTypes: [X]}", `spec.policyTypes[0]: Unsupported value: "X": supported values: "Ingress", "Egress"`},
		{"spec: {policyTypes: [Ingress, Egress, Ingress]}", `spec.policyTypes: Invalid value: ["Ingress","Egress","Ingress"]: may not specify more than two policyTypes`},
		{from("{}"), at + ": Required value: must specify a peer"},
		{from("{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}"), at + ": Forbidden: may not specify both ipBlock and another peer"},
		{from("{ipBlock: {cidr: ''}}"), at + ".ipBlock.cidr: Required value"},
		{from("{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}"), at + ".ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`"},
		{"spec: {egress: [{ports: [{port: http, endPort: 3}, {endPort: 3}, {port: 80, endPort: 70}]}]}", "spec.egress[0].ports[0].endPort: Invalid value: 3: may not be specified when `port` is non-numeric\nspec.egress[0].ports[1].endPort: Invalid value: 3: may not be specified when `port` is not specified\nspec.egress[0].ports[2].endPort: Invalid value: 70: must be greater than or equal to `port`"},
	})
	p := apitest.Made(t, NetworkPolicies(), plain, "spec: {egress: [{ports: [{port: 1}]}]}").(*networkingv1.NetworkPolicy)
	if got := apitest.JSON(t, p.Spec); got != `{"podSelector":{},"egress":[{"ports":[{"protocol":"TCP","port":1}]}],"policyTypes":["Ingress","Egress"]}` {
		t.Error(got)
	}
	if w := NetworkPolicies().Warnings(apitest.Read(t, NetworkPolicies(), plain, from("{ipBlock: {cidr: 'fd00:0::/8'}}")), nil); len(w) != 1 {
		t.Error(w)
	}
}

func TestIPAddress(t *testing.T) {
	const plain = "apiVersion: networking.k8s.io/v1\nkind: IPAddress\nmetadata: {name: 10.0.0.1}\nspec: {parentRef: {resource: services, namespace: ns, name: s}}\n"
	apitest.Creates(t, IPAddresses(), plain, []apitest.Change{
		{"spec: {parentRef: null}", "spec.parentRef: Required value"},
		{"spec: {parentRef: {group: A_, resource: '', name: a/b}}", "spec.parentRef.group: Invalid value: \"A_\": a lowercase RFC 1123…\nspec.parentRef.name: Invalid value: \"a/b\": may not contain '/'\nspec.parentRef.resource: Required value"},
	})
	apitest.Updates(t, IPAddresses(), plain, "", []apitest.Change{{"spec: {parentRef: {name: other}}", "spec.parentRef: Invalid value: null: field is immutable"}})
	for name, want := range map[string]int{"10.0.0.1": 0, "fd00::1": 0, "010.0.0.1": 1, "x": 1} {
		if got := len(IPAddresses().ValidateName(name, false)); got != want {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := IPAddresses().Row(apitest.Read(t, IPAddresses(), plain, ""))[1]; got != "services/ns/s" {
		t.Error(got)
	}
}

func TestServiceCIDR(t *testing.T) {
	const plain = "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: c}\nspec: {cidrs: [10.0.0.0/16]}\n"
	apitest.Creates(t, ServiceCIDRs(), plain, []apitest.Change{
		{"spec: {cidrs: []}", "spec.cidrs: Required value: at least one CIDR required"},
		{"spec: {cidrs: [10.0.0.0/16, 10.1.0.0/16]}", `spec.cidrs: Invalid value: ["10.0.0.0/16","10.1.0.0/16"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64`},
		{"spec: {cidrs: [a, b, c]}", `spec.cidrs: Invalid value: {"CIDRs":["a","b","c"]}: may only hold up to 2 values`},
	})
	apitest.Updates(t, ServiceCIDRs(), plain, "", []apitest.Change{
		{"spec: {cidrs: [10.0.0.0/16, 'fd00::/64']}", ""},
		{"spec: {cidrs: [10.1.0.0/16]}", `spec.cidrs[0]: Invalid value: "10.1.0.0/16": field is immutable`},
		{"spec: {cidrs: []}", `spec.cidrs: Invalid value: []: field is immutable`},
	})
	// A status update brings nothing of metadata along.
	k := ServiceCIDRs()
	old := apitest.Made(t, k, plain, "")
	c := apitest.Read(t, k, plain, "metadata: {labels: {x: y}, finalizers: [a.b/c]}")
	k.Sub("status").PrepareUpdate(c, old)
	if len(c.GetLabels())+len(c.GetFinalizers()) > 0 {
		t.Error(apitest.JSON(t, c))
	}
}
