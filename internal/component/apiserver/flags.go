package apiserver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sampan.dev/internal/api/group"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
)

// Reasons that several flags share.
const (
	etcdPace   = "etcd is asked as the hub needs"
	noRedirect = "a redirect by a server behind this one is never passed on"
	routing    = "servers behind this one are always reached at a ready endpoint of their Service"
	noPeers    = "API servers do not send requests to each other"
	noTokens   = "tokens are signed with a key of this process's"
	alone      = "no election is coordinated by the API server"
	headers    = "the proxy's headers have upstream's usual names"
	caches     = "every kind is cached, as far as there is memory"
	noProfiles = "profiles are served to those who may, at /debug/pprof"
	shutdown   = "requests that are under way are finished, and no new one is taken"
)

// Table is every flag of upstream's, and what becomes of it.
func (c *Config) Table() flag.Table {
	return flag.Join(c.serving(), component.Pair(&c.CertFile, &c.KeyFile).Below(""), component.Port(), component.Profiling("", noProfiles), c.storage(), c.authentication(), c.authorization(), c.admission(), c.requests(), c.Audit.table(), c.network(),
		component.Metrics(), component.Versions(&c.Gates), c.Log.Rows(""))
}

func (c *Config) serving() flag.Table {
	return flag.Table{
		flag.Set("advertise-address", flag.IP(&c.Advertise), "address that others reach the server at; default is --bind-address, or that of the default route's link"),
		flag.Set("bind-address", flag.IP(&c.Bind), "address to serve on"),
		flag.Set("secure-port", flag.Int(&c.Port), "port to serve on"),
		flag.Set("cert-dir", flag.String(&c.CertDir), "directory of apiserver.crt and apiserver.key, which are used where no files are named; what is not there is made for this run and kept in memory"),
		flag.Set("tls-min-version", flag.OneOf("string", &c.LowestTLS, "", "VersionTLS12", "VersionTLS13"), "oldest version of TLS that clients may speak: VersionTLS12 (with authenticated ciphers and forward secrecy alone) or VersionTLS13; default VersionTLS13"),
		flag.Refuse("disable-http2-serving", "bool", "", "HTTP/2 is always offered"),
		flag.Ignore("http2-max-streams-per-connection", "int", "", "a connection may have 250 streams"),
		flag.Ignore("external-hostname", "string", "", "addresses in answers are those that clients used"),
		flag.Refuse("cors-allowed-origins", "strings", "", "no page of another origin is answered"),
		flag.Refuse("strict-transport-security-directives", "strings", "", "the server is not for browsers"),
		flag.Ignore("goaway-chance", "float", "", "connections are not ended to spread them"),
		flag.Refuse("debug-socket-path", "string", "", "profiles are served on the secure port"),
		flag.Ignore("enable-logs-handler", "bool", "", "the folder of logs is not served"),
		flag.Ignore("livez-grace-period", "duration", "", "a server that starts is live"),
		flag.Ignore("shutdown-delay-duration", "duration", "", shutdown),
		flag.Ignore("shutdown-send-retry-after", "bool", "", shutdown),
		flag.Ignore("shutdown-watch-termination-grace-period", "duration", "", shutdown),
		flag.Refuse("tracing-config-file", "string", "", "traces are not written yet"),
		flag.Set("egress-selector-config-file", flag.String(&c.EgressFile), "EgressSelectorConfiguration (file): the proxies through which nodes and etcd are reached"),
		flag.Set("runtime-config", flag.Typed("mapStringString", &c.RuntimeConfig), "what is served of what is built: api/all, api/ga, GROUP/VERSION or GROUP/VERSION/RESOURCE, each =true or =false; what the API server uses itself stays").Checked(knownVersions),
		flag.Ignore("runtime-config-emulation-forward-compatible", "bool", "", "this version stands in for no other"),
		flag.Ignore("emulation-forward-compatible", "bool", "", "this version stands in for no other"),
	}
}

func (c *Config) storage() flag.Table {
	return flag.Table{
		flag.Set("etcd-servers", flag.List(&c.EtcdServers), "URLs of etcd"),
		flag.Set("etcd-cafile", flag.String(&c.EtcdCA), "authority of etcd's certificate"),
		flag.Set("etcd-certfile", flag.String(&c.EtcdCert), "client certificate for etcd"),
		flag.Set("etcd-keyfile", flag.String(&c.EtcdKey), "its key"),
		flag.Set("etcd-prefix", flag.String(&c.Root), "prefix of all keys"),
		flag.Refuse("etcd-servers-overrides", "strings", "", "all kinds are in one etcd"),
		flag.Ignore("etcd-compaction-interval", "duration", "5m0s", "history is dropped when it is older than ten minutes"),
		flag.Ignore("etcd-count-metric-poll-period", "duration", "1m0s", "objects are counted in the cache"),
		flag.Ignore("etcd-db-metric-poll-interval", "duration", "30s", etcdPace),
		flag.Ignore("etcd-healthcheck-timeout", "duration", "2s", etcdPace),
		flag.Ignore("etcd-readycheck-timeout", "duration", "2s", etcdPace),
		flag.Ignore("lease-reuse-duration-seconds", "int", "60", etcdPace),
		flag.Ignore("storage-initialization-timeout", "duration", "1m0s", "the server is not ready before its caches are"),
		flag.Refuse("storage-backend", "string", "", "etcd is what there is").But("etcd3"),
		flag.Refuse("storage-media-type", "string", `"application/vnd.kubernetes.protobuf"`, "objects are stored as protobuf"),
		flag.Refuse("watch-cache", "bool", "true", caches),
		flag.Ignore("watch-cache-sizes", "strings", "", caches),
		flag.Ignore("delete-collection-workers", "int", "1", "collections are deleted one object after the other"),
		flag.Refuse("enable-garbage-collector", "bool", "true", "dependents are always tracked"),
		flag.Set("encryption-provider-config", flag.String(&c.EncryptionFile), "EncryptionConfiguration (file): which resources are encrypted in etcd, by what and with which keys"),
		flag.Set("encryption-provider-config-automatic-reload", flag.Bool(&c.EncryptionReload), "read that file anew when it changes"),
		flag.Refuse("event-ttl", "duration", "1h0m0s", "events live for an hour"),
	}
}

func (c *Config) authorization() flag.Table {
	z := &c.Authorization
	return flag.Table{
		flag.Set("authorization-mode", flag.List(&z.Modes), "who decides what callers may do, one after the other: of AlwaysAllow (the default), AlwaysDeny, ABAC, Webhook, RBAC, Node"),
		flag.Set("authorization-config", flag.String(&z.File), "AuthorizationConfiguration (file): the same, with several webhooks and their conditions; it is read anew when it changes"),
		flag.Set("authorization-policy-file", flag.String(&z.PolicyFile), "policies of ABAC (file), one a line"),
		flag.Set("authorization-webhook-config-file", flag.String(&z.WebhookFile), "kubeconfig of the program that mode Webhook asks"),
		flag.Set("authorization-webhook-cache-authorized-ttl", flag.Duration(&z.Allowed), "how long it is not asked again about what it allowed"),
		flag.Set("authorization-webhook-cache-unauthorized-ttl", flag.Duration(&z.Denied), "and about what it did not"),
		flag.Set("authorization-webhook-version", flag.String(&z.WebhookVersion), "version of the SubjectAccessReviews that it is asked with"),
	}
}

func (c *Config) admission() flag.Table {
	return flag.Table{
		flag.Set("enable-admission-plugins", flag.List(&c.EnablePlugins), "admission plugins to run beside the default ones; those that are not implemented are refused"),
		flag.Set("disable-admission-plugins", flag.List(&c.Disable), "default admission plugins to leave out"),
		flag.Refuse("admission-control", "strings", "", "say --enable-admission-plugins and --disable-admission-plugins"),
		flag.Set("admission-control-config-file", flag.String(&c.AdmissionFile), "AdmissionConfiguration (file): the settings of single plugins"),
		flag.Set("default-not-ready-toleration-seconds", flag.Int(&c.NotReady), "how long a pod stays on a node that is not ready"),
		flag.Set("default-unreachable-toleration-seconds", flag.Int(&c.Unreachable), "how long a pod stays on a node that is unreachable"),
		flag.Ignore("allow-privileged", "bool", "", "privileged containers are for admission to refuse"),
	}
}

func (c *Config) requests() flag.Table {
	return flag.Table{
		flag.Set("max-requests-inflight", flag.Natural(&c.MaxReads), "requests that read which are served at a time; 0: any number"),
		flag.Set("max-mutating-requests-inflight", flag.Natural(&c.MaxWrites), "requests that write which are served at a time; 0: any number"),
		flag.Set("enable-priority-and-fairness", flag.Bool(&c.Fairness), "share out the two limits together by priority levels, in whose queues requests wait; otherwise each limit refuses what is beyond it"),
		flag.Ignore("min-request-timeout", "int", "1800", "a watch lasts between half an hour and an hour"),
		flag.Refuse("request-timeout", "duration", "1m0s", "a request has a minute, or less if it says so"),
		flag.Refuse("max-connection-bytes-per-sec", "int", "", "connections are as fast as they are"),
		flag.Ignore("aggregator-reject-forwarding-redirect", "bool", "true", noRedirect),
		flag.Ignore("enable-aggregator-routing", "bool", "", routing),
		flag.Set("proxy-client-cert-file", flag.String(&c.ProxyCert), "certificate that shows API servers behind this one that it may say who asks"),
		flag.Set("proxy-client-key-file", flag.String(&c.ProxyKey), "its key"),
		flag.Ignore("peer-advertise-ip", "string", "", noPeers),
		flag.Ignore("peer-advertise-port", "string", "", noPeers),
		flag.Ignore("peer-ca-file", "string", "", noPeers),
		flag.Ignore("coordinated-leadership-lease-duration", "duration", "15s", alone),
		flag.Ignore("coordinated-leadership-renew-deadline", "duration", "10s", alone),
		flag.Ignore("coordinated-leadership-retry-period", "duration", "2s", alone),
	}
}

func (c *Config) network() flag.Table {
	return flag.Table{
		flag.Set("service-cluster-ip-range", flag.Prefixes(&c.ServiceRange), "range of the services' addresses; default 10.0.0.0/24"),
		flag.Set("service-node-port-range", flag.Ports(&c.NodePorts), "ports that services may have on nodes"),
		flag.Refuse("kubernetes-service-node-port", "int", "", "the Service kubernetes has no node port"),
		flag.Refuse("endpoint-reconciler-type", "string", `"lease"`, "the Service kubernetes has this server's address"),
		flag.Set("kubelet-certificate-authority", flag.String(&c.KubeletCA), "whose certificates of kubelets are believed; without it none is verified"),
		flag.Set("kubelet-client-certificate", flag.String(&c.KubeletCert), "certificate to show to kubelets"),
		flag.Set("kubelet-client-key", flag.String(&c.KubeletKey), "its key"),
		flag.Ignore("kubelet-preferred-address-types", "strings", "[Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP]", "kubelets are reached at their first InternalIP"),
		flag.Ignore("kubelet-timeout", "duration", "5s", "a kubelet has ten seconds to answer a connection"),
	}
}

// knownVersions checks what --runtime-config is given: "api/all", "api/ga", "api/beta", "api/alpha", or a version of an API group that there is.
func knownVersions(given string) error {
	var unknown []string
	for pair := range strings.SplitSeq(given, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if name == "" {
			continue
		}
		if _, err := strconv.ParseBool(value); value != "" && err != nil {
			return fmt.Errorf("invalid value %s=%s", name, value)
		}
		g, version, both := strings.Cut(name, "/")
		switch {
		case g == "api" && (version == "all" || version == "ga" || version == "beta" || version == "alpha" || version == "legacy"), !both && g == "v1":
		case !slices.ContainsFunc(group.All, func(have group.Group) bool { return have.Name == g }) && !strings.HasPrefix(g, "internal.apiserver"):
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("unknown api groups %s", strings.Join(unknown, ","))
	}
	return nil
}
