package arch

import (
	"slices"
	"strings"
	"testing"
)

// rooms says what each package may import of this module, besides packages of its own room's entry. The longest prefix of
// a package's path that stands here is its row. An entry that ends in "/..." means the package and all below it. Loosening
// a row needs a reason beside it.
var rooms = map[string][]string{
	"cmd/sampan":     {"internal/..."},
	"cmd/sampan-cni": {}, // asks over a socket; it must stay tiny

	"internal/api":                       {"internal/api/group"},
	"internal/api/group":                 {}, // tools/openapi imports it from another module
	"internal/api/valid":                 {"internal/api/pods"},
	"internal/api/core":                  {"internal/api", "internal/api/pods", "internal/api/valid", "internal/api/authentication"}, // a service account's subresource token has its body there
	"internal/api/":                      {"internal/api", "internal/api/valid", "internal/api/core"},                                // pod templates
	"internal/api/all":                   {"internal/api/..."},
	"internal/api/admissionregistration": {"internal/api", "internal/api/valid", "internal/api/expression"},
	"internal/api/expression":            {},
	"internal/api/pods":                  {}, // questions about a value, for everybody who knows pods
	"internal/api/quota":                 {"internal/api/pods"},
	"internal/api/devices":               {}, // questions about values, for everybody who knows claims of devices
	"internal/api/volumes":               {}, // questions about values, for everybody who knows claims and volumes

	"internal/client":            {"internal/api"},
	"internal/client/":           {"internal/client/...", "internal/api"},
	"internal/client/local":      {"internal/client/...", "internal/api", "internal/hub/catalog", "internal/hub/verb", "internal/hub/wire", "internal/hub/audit"}, // the hub's side of the door: no encoding between
	"internal/client/clienttest": {"internal/client/..."},

	"internal/hub":            {"internal/hub/...", "internal/api/...", "internal/client/...", "internal/pki"},
	"internal/hub/hubtest":    {"internal/hub/...", "internal/api/...", "internal/client/...", "internal/pki"},
	"internal/hub/rest":       {"internal/hub/admit", "internal/hub/audit", "internal/hub/authn", "internal/hub/authz", "internal/hub/catalog", "internal/hub/fairness", "internal/hub/flow", "internal/hub/health", "internal/hub/verb", "internal/hub/wire", "internal/api", "internal/client/..."},
	"internal/hub/catalog":    {"internal/hub/cache", "internal/hub/store", "internal/api"},
	"internal/hub/discovery":  {"internal/hub/wire", "internal/api/..."},
	"internal/hub/components": {"internal/hub/verb", "internal/api", "internal/client"},
	"internal/hub/usage":      {"internal/hub/verb", "internal/api", "internal/client"},
	"internal/hub/aggregate":  {"internal/hub/catalog", "internal/hub/openapi", "internal/api", "internal/api/apiregistration", "internal/client/...", "internal/stream"},
	"internal/hub/health":     {"internal/hub/flow", "internal/api"},
	"internal/hub/listener":   {"internal/hub/h2"},
	"internal/hub/h2":         {},
	"internal/hub/store":      {},
	"internal/hub/store/":     {"internal/hub/store/..."},
	"internal/hub/deflate":    {},
	"internal/hub/encrypt":    {"internal/hub/store", "internal/hub/store/sealed", "internal/hub/reload"},
	"internal/hub/reload":     {},
	"internal/hub/flow":       {},
	"internal/hub/fairness":   {"internal/api", "internal/api/flowcontrol"},
	"internal/hub/cache":      {"internal/hub/store", "internal/hub/deflate", "internal/api"}, // deflate: entries keep their compressed forms
	"internal/hub/price":      {},
	"internal/hub/wire":       {"internal/api/...", "internal/hub/cache", "internal/hub/deflate", "internal/hub/price"}, // cache: streamed lists are made of its entries
	"internal/hub/audit":      {"internal/api"},
	"internal/hub/callout":    {},
	"internal/hub/verb":       {"internal/hub/audit", "internal/hub/verb/...", "internal/hub/cache", "internal/hub/catalog", "internal/hub/store/...", "internal/hub/admit", "internal/hub/authz", "internal/hub/apply", "internal/api/...", "internal/client"},
	"internal/hub/verb/":      {"internal/api"},                                                                                                    // the pure rules
	"internal/hub/admit":      {"internal/hub/admit/...", "internal/api/...", "internal/client/...", "internal/hub/authz", "internal/hub/callout"}, // authz: NodeRestriction and RBAC escalation ask it
	"internal/hub/admit/":     {},                                                                                                                  // the pure rules of single plugins
	"internal/hub/authn":      {"internal/api", "internal/client/...", "internal/hub/audit", "internal/pki"},                                       // audit: notes about tokens of Secrets
	"internal/hub/authn/":     {"internal/api", "internal/hub/reload"},
	"internal/hub/authz":      {"internal/api/...", "internal/client/...", "internal/hub/callout", "internal/hub/reload"},
	"internal/hub/apply":      {"internal/api/...", "internal/hub/price"},
	"internal/hub/openapi":    {"internal/api/..."},
	"internal/hub/review":     {"internal/api/...", "internal/client/...", "internal/hub/authn", "internal/hub/authz", "internal/hub/verb"},
	"internal/hub/alloc":      {"internal/api", "internal/api/valid", "internal/client/...", "internal/hub/store", "internal/hub/verb"},   // store: what servers that share one keep of node ports
	"internal/hub/bootstrap":  {"internal/api/...", "internal/client/...", "internal/hub/fairness", "internal/hub/store", "internal/pki"}, // the system's priority classes
	"internal/hub/connect":    {"internal/client/...", "internal/hub/egress", "internal/hub/verb", "internal/stream"},
	"internal/hub/egress":     {"internal/addr"},

	"internal/hub/admit/match":   {"internal/api", "internal/api/expression", "internal/client", "internal/hub/admit", "internal/hub/authz"},
	"internal/hub/admit/policy":  {"internal/api", "internal/api/expression", "internal/api/admissionregistration", "internal/client", "internal/hub/admit", "internal/hub/admit/match", "internal/hub/authz"},
	"internal/hub/admit/static":  {"internal/api", "internal/api/admissionregistration", "internal/inotify"},
	"internal/hub/admit/webhook": {"internal/api", "internal/api/expression", "internal/api/admissionregistration", "internal/client", "internal/hub/admit", "internal/hub/admit/match", "internal/hub/authz", "internal/hub/egress"},
	"internal/hub/custom":        {"internal/hub/custom/...", "internal/hub/catalog", "internal/api/...", "internal/client"},
	"internal/hub/custom/schema": {"internal/api"},

	"internal/cloud":      {},
	"internal/cloud/":     {"internal/cloud"},
	"internal/cloud/plug": {"internal/cloud/..."},
	"internal/cloud/file": {"internal/cloud", "internal/inotify"},

	"internal/control":                  {"internal/control/...", "internal/client/...", "internal/api/..."},
	"internal/control/loop":             {"internal/client/...", "internal/api", "internal/api/pods"},
	"internal/control/":                 {"internal/control/loop", "internal/client/...", "internal/api/..."},
	"internal/control/workload":         {"internal/control/workload/...", "internal/control/loop", "internal/client/...", "internal/api/..."},
	"internal/control/workload/":        {"internal/control/workload/podcontrol", "internal/control/workload/history", "internal/control/loop", "internal/client/...", "internal/api/..."},
	"internal/control/cloud":            {"internal/control/loop", "internal/client/...", "internal/api", "internal/cloud"},
	"internal/control/identity":         {"internal/control/loop", "internal/client/...", "internal/api/...", "internal/pki", "internal/addr"},
	"internal/control/scheduler":        {"internal/control/scheduler/...", "internal/client/...", "internal/api/..."},
	"internal/control/scheduler/":       {"internal/control/scheduler/plugin"},
	"internal/control/scheduler/plugin": {"internal/api/..."},
	"internal/control/scheduler/device": {"internal/control/scheduler/plugin", "internal/api/..."},
	"internal/control/scheduler/volume": {"internal/control/scheduler/plugin", "internal/api/..."},

	"internal/node/kubelet":      {"internal/node/...", "internal/client/...", "internal/api/..."},
	"internal/node/podstate":     {"internal/api/pods", "internal/node/allocation", "internal/node/cgroup", "internal/node/probe", "internal/node/runtime"}, // the types of what they observe
	"internal/node/podspec":      {"internal/api/pods", "internal/node/allocation", "internal/node/cgroup", "internal/node/probe"},                          // expansion of variables; shares and quotas
	"internal/node/evict":        {"internal/api/pods"},
	"internal/node/allocation":   {"internal/api/pods", "internal/node/checkpoint"},
	"internal/node/resize":       {"internal/api/pods", "internal/node/allocation", "internal/node/cgroup", "internal/node/event", "internal/node/podspec", "internal/node/podstate", "internal/node/runtime"},
	"internal/node/podstatus":    {"internal/api/pods", "internal/client", "internal/node/podstate"},
	"internal/node/volume":       {"internal/api/volumes", "internal/node/csi"},
	"internal/node/csi":          {"internal/api/volumes", "internal/client", "internal/node/plugins"},
	"internal/node/csi/":         {},
	"internal/node/hardware":     {},
	"internal/node/checkpoint":   {},
	"internal/node/users":        {"internal/node/checkpoint"},
	"internal/node/metrics":      {},
	"internal/node/shutdown":     {"internal/node/checkpoint"},
	"internal/node/fence":        {},
	"internal/node/announce":     {},
	"internal/node/socket":       {},
	"internal/node/plugins":      {"internal/inotify"},
	"internal/node/topology":     {"internal/node/hardware"},
	"internal/node/cpus":         {"internal/api/pods", "internal/node/checkpoint", "internal/node/hardware", "internal/node/topology"},
	"internal/node/memorymap":    {"internal/api/pods", "internal/node/checkpoint", "internal/node/hardware", "internal/node/topology"},
	"internal/node/devices":      {"internal/api/pods", "internal/node/checkpoint", "internal/node/socket", "internal/node/topology"},
	"internal/node/devices/":     {},
	"internal/node/claims":       {"internal/client/...", "internal/node/checkpoint", "internal/node/plugins"},
	"internal/node/podresources": {"internal/api/pods", "internal/node/devices", "internal/node/memorymap"}, // what containers have of each
	"internal/node/placement":    {"internal/node/cpus", "internal/node/devices", "internal/node/hardware", "internal/node/memorymap", "internal/node/podresources", "internal/node/runtime", "internal/node/socket", "internal/node/topology"},
	"internal/node/object":       {"internal/api", "internal/client/...", "internal/node/volume"},        // which objects a pod's volumes show
	"internal/node/admit":        {"internal/api/pods", "internal/api/unbuilt", "internal/node/podspec"}, // podspec: how kernel parameters are named
	"internal/node/podhost":      {"internal/api/pods", "internal/api/volumes", "internal/node/cgroup", "internal/node/evict", "internal/node/object", "internal/node/podspec", "internal/node/runtime", "internal/node/volume"},
	"internal/node/event":        {"internal/api/pods", "internal/client/..."},
	"internal/node/image":        {"internal/node/checkpoint", "internal/node/event", "internal/node/image/provider", "internal/node/runtime"},
	"internal/node/image/":       {},
	"internal/node/source":       {"internal/inotify", "internal/api/...", "internal/client/...", "internal/node/podstatus"},
	"internal/node/register":     {"internal/api/pods", "internal/api/volumes", "internal/client/...", "internal/node/event", "internal/node/evict", "internal/node/health", "internal/node/runtime"},
	"internal/node/serve":        {"internal/api", "internal/client/...", "internal/stream"},
	"internal/node/proxy":        {"internal/node/proxy/...", "internal/node/nft", "internal/client/..."}, // nft: one vocabulary of packet filter rules for both
	"internal/node/network":      {"internal/client/...", "internal/node/nft", "internal/node/firewall"},
	"internal/node/firewall":     {"internal/node/nft"},
	"internal/node/nft":          {},
	"internal/node/dns":          {"internal/client/..."},
	"internal/node/":             {"internal/node/...", "internal/client/..."}, // leaves; they never import kubelet, see below

	// A component joins one plank to flags, a kubeconfig and a log; it knows no other plank.
	"internal/component":              {"internal/component/flag", "internal/client/...", "internal/api", "internal/config", "internal/obs"}, // api: the identities of controllers
	"internal/component/flag":         {},
	"internal/component/zpage":        {},
	"internal/component/flag/":        {"internal/component/flag"},
	"internal/component/face":         {"internal/component", "internal/component/zpage", "internal/component/flag", "internal/client/...", "internal/config", "internal/pki"},
	"internal/component/apiserver":    {"internal/component/...", "internal/client/...", "internal/api/...", "internal/config", "internal/pki", "internal/memlimit", "internal/hub/...", "internal/node/hostnet", "internal/tunnel/konnectivity/selector", "internal/tunnel/konnectivity/link"}, // hostnet: which address others reach it at
	"internal/component/controllers":  {"internal/component/...", "internal/client/...", "internal/api/...", "internal/config", "internal/pki", "internal/control/..."},
	"internal/component/scheduler":    {"internal/component/...", "internal/client/...", "internal/config", "internal/control/scheduler/..."},
	"internal/component/kubelet":      {"internal/component/...", "internal/client/...", "internal/api/...", "internal/config", "internal/pki", "internal/node/..."},
	"internal/component/proxy":        {"internal/component/...", "internal/client/...", "internal/config", "internal/node/proxy/..."},
	"internal/component/etcd":         {"internal/component/flag", "internal/hub/store/etcd", "internal/memlimit", "internal/obs"},
	"internal/component/konnectivity": {"internal/component", "internal/component/flag", "internal/client/...", "internal/tunnel/konnectivity/..."},
	"internal/component/cloud":        {"internal/component/...", "internal/config", "internal/cloud/...", "internal/control/..."},
	"internal/component/suite":        {"internal/component/...", "internal/hub/authz", "internal/config", "internal/obs", "internal/control", "internal/cloud/...", "internal/tunnel/konnectivity/selector"}, // control: which controllers there are; cloud: which provider is the default

	// What makes a machine a node, and joins the planks to a cluster.
	"internal/cluster":         {"internal/..."},
	"internal/envtest":         {"internal/component/apiserver", "internal/api/all", "internal/control", "internal/hub"},                                                                                                                                                                                                                                                                                                                                         // joins two planks in one process, for test suites
	"internal/plane":           {"internal/machine", "internal/machine/steps", "internal/machine/further", "internal/component/...", "internal/client/...", "internal/api/...", "internal/config", "internal/daemon", "internal/pki", "internal/hub/...", "internal/control/...", "internal/node/hostnet", "internal/node/network", "internal/tunnel/konnectivity/server", "internal/tunnel/konnectivity/selector", "internal/tunnel/ssh", "internal/manifests"}, // network: which range the pods had last
	"internal/machine":         {"internal/machine/...", "internal/component/...", "internal/config", "internal/pki", "internal/node/..."},
	"internal/machine/place":   {"internal/config", "internal/node/cgroup"}, // cgroup: the slices that systemd makes
	"internal/machine/parts":   {"internal/config", "internal/daemon"},
	"internal/machine/site":    {"internal/config", "internal/pki"},
	"internal/machine/steps":   {"internal/tty"},
	"internal/machine/hold":    {"internal/machine/place", "internal/machine/steps", "internal/tty", "internal/config"},
	"internal/machine/engine":  {"internal/machine/place", "internal/config", "internal/pki", "internal/node/runtime", "internal/node/registry"},
	"internal/machine/further": {"internal/machine/place", "internal/machine/hold", "internal/machine/engine", "internal/config"},
	"internal/machine/node":    {"internal/machine/...", "internal/component/...", "internal/client/...", "internal/api/...", "internal/config", "internal/daemon", "internal/pki", "internal/node/...", "internal/addr", "internal/tunnel/konnectivity/agent"},

	// How it gets onto a machine, and who started it there.
	"internal/machine/install":    {},
	"internal/machine/supervisor": {},

	// What a person at the command line asks for.
	"internal/doctor":    {"internal/config", "internal/machine", "internal/machine/site", "internal/status"},
	"internal/logs":      {},
	"internal/manifests": {"internal/client", "internal/api/...", "internal/inotify"},
	"internal/settings":  {"internal/component/flag", "internal/machine/site"},
	"internal/why":       {"internal/api", "internal/api/pods", "internal/client", "internal/control/scheduler/plugin"}, // plugin: what keeps a pod off a node
	"internal/status":    {"internal/client/...", "internal/manifests", "internal/config", "internal/daemon", "internal/machine/hold", "internal/machine/parts", "internal/machine/site", "internal/tty"},
	"internal/tty":       {},

	// Tunnels know bytes and addresses, and nothing of Kubernetes but a token's review.
	"internal/tunnel/ssh":                   {},
	"internal/tunnel/konnectivity/wire":     {},
	"internal/tunnel/konnectivity/link":     {"internal/tunnel/konnectivity/wire"},
	"internal/tunnel/konnectivity/agent":    {"internal/tunnel/konnectivity/link", "internal/tunnel/konnectivity/wire"},
	"internal/tunnel/konnectivity/server":   {"internal/tunnel/konnectivity/link", "internal/tunnel/konnectivity/wire"},
	"internal/tunnel/konnectivity/selector": {"internal/tunnel/konnectivity/link", "internal/tunnel/konnectivity/wire"},

	"internal/inotify":  {},
	"internal/stream":   {},
	"internal/addr":     {},
	"internal/pattern":  {},
	"internal/pki":      {},
	"internal/config":   {},
	"internal/daemon":   {},
	"internal/memlimit": {},
	"internal/obs":      {},
	"internal/sim":      {"internal/client/..."},
	"internal/testkit":  {"internal/..."},
	"internal/arch":     {},
	"e2e":               {},
	"e2e/differential":  {"e2e/differential/..."},
}

// forbidden is what nothing of the product imports, and why.
var forbidden = map[string]string{
	"k8s.io/kubernetes":             "it is the thing being implemented",
	"k8s.io/apiserver/pkg/server":   "it is what this project writes",
	"k8s.io/apiserver/pkg/registry": "it is what this project writes",
	"k8s.io/apiserver/pkg/storage":  "it is what this project writes",
	"k8s.io/client-go/informers":    "one informer, ours",
	"k8s.io/client-go/listers":      "one informer, ours",
	"text/template":                 "makes the linker keep every exported method: the binary doubles",
	"html/template":                 "makes the linker keep every exported method: the binary doubles",
	"golang.org/x/net/trace":        "pulls html/template",
}

func row(path string) ([]string, bool) {
	name, found := rowOf(path)
	return rooms[name], found
}

// rowOf finds the row of a package.
func rowOf(path string) (best string, found bool) {
	for prefix := range rooms {
		match := path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
		if match && (!found || len(prefix) > len(best)) {
			// A row that ends in a slash is for what lies below it only.
			if strings.HasSuffix(prefix, "/") && path+"/" == prefix {
				continue
			}
			best, found = prefix, true
		}
	}
	return best, found
}

// anywhere is what every package may import: a word of Go that the standard library lacks.
const anywhere = "internal/pattern"

func allowed(rules []string, target string) bool {
	return target == anywhere || slices.ContainsFunc(rules, func(r string) bool {
		if base, ok := strings.CutSuffix(r, "/..."); ok {
			return target == base || strings.HasPrefix(target, base+"/")
		}
		return r == target
	})
}

func TestImportsFollowTheTable(t *testing.T) {
	for _, p := range packages(t) {
		rules, ok := row(p.path)
		if !ok {
			t.Errorf("%s has no row in the table", p.path)
			continue
		}
		for imp, files := range p.imports {
			for bad, why := range forbidden {
				if imp == bad || strings.HasPrefix(imp, bad+"/") {
					t.Errorf("%s (%v) imports %s: %s", p.path, files, imp, why)
				}
			}
			target, ours := strings.CutPrefix(imp, module)
			if ours && target != p.path && !allowed(rules, target) {
				t.Errorf("%s (%v) may not import %s", p.path, files, target)
			}
		}
	}
}

// A permission that nobody uses is taken back: the table says what is, not what might be. Those of all packages of a plank
// ("internal/api/...") are used when one of them is.
func TestEveryPermissionIsUsed(t *testing.T) {
	used := map[string]map[string]bool{} // row -> what packages of the row import
	for _, p := range packages(t) {
		name, _ := rowOf(p.path)
		if used[name] == nil {
			used[name] = map[string]bool{}
		}
		for imp := range p.imports {
			if target, ours := strings.CutPrefix(imp, module); ours && target != p.path {
				used[name][target] = true
			}
		}
	}
	for name, rules := range rooms {
		imports, any := used[name]
		if !any {
			t.Errorf("the row %q is nobody's", name)
			continue
		}
		for i, rule := range rules {
			others := slices.Delete(slices.Clone(rules), i, i+1)
			needed := false
			for target := range imports {
				needed = needed || allowed([]string{rule}, target) && !allowed(others, target)
			}
			if !needed {
				t.Errorf("%s: nobody needs the permission %q", name, rule)
			}
		}
	}
}

// Components meet only through the hub's API (architecture.md, rule 1).
func TestComponentsDoNotKnowEachOther(t *testing.T) {
	planks := []string{"internal/hub", "internal/control", "internal/node"}
	for _, p := range packages(t) {
		for _, mine := range planks {
			if p.path != mine && !strings.HasPrefix(p.path, mine+"/") {
				continue
			}
			for imp := range p.imports {
				for _, other := range planks {
					if other != mine && strings.HasPrefix(imp, module+other) {
						t.Errorf("%s imports %s", p.path, imp)
					}
				}
			}
		}
	}
}

func TestLeavesOfTheKubeletDoNotImportIt(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.path, "internal/node/") && p.path != "internal/node/kubelet" {
			if _, bad := p.imports[module+"internal/node/kubelet"]; bad {
				t.Errorf("%s imports the kubelet", p.path)
			}
		}
	}
}
