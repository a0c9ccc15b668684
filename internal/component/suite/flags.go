package suite

import (
	"fmt"
	"strconv"

	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"

	"github.com/spf13/pflag"
)

// ClusterFlags describe a cluster: sampan's own flags, and those of the control plane's programs that it has.
func (c *Config) ClusterFlags(f *pflag.FlagSet) {
	f.StringVar(&c.Listen, "listen", c.Listen, "ADDR:PORT of the API server")
	f.StringVar(&c.ClusterCIDR, "cluster-cidr", c.ClusterCIDR, "range of the pods' addresses (default 10.244.0.0/16; another one for each other --data-dir)")
	f.StringVar(&c.ServiceCIDR, "service-cidr", c.ServiceCIDR, "range of the services' addresses (default 10.96.0.0/16; another one for each other --data-dir)")
	f.StringVar(&c.ClusterDomain, "cluster-domain", c.ClusterDomain, "DNS domain of the cluster")
	f.StringSliceVar(&c.TLSSANs, "tls-san", nil, "further names and addresses of the API server's certificate")
	f.StringVar(&c.KubeconfigOut, "kubeconfig-out", "", "also write the administrator's kubeconfig to this file")
	f.BoolVar(&c.NoNode, "no-node", false, "control plane only; needs no root")
	f.Var(not{&c.NoScheduler}, "scheduler", "run the scheduler; false where another one is to do it")
	f.Lookup("scheduler").NoOptDefVal = "true"
	f.Var(not{&c.NoLocalStorage}, "local-storage", "have the storage classes local-path (the default one) and standard, whose volumes are directories of the nodes")
	f.Lookup("local-storage").NoOptDefVal = "true"
	f.StringVar(&c.Cloud.Provider, "cloud", c.Cloud.Provider, "the cloud: local (a Service of type LoadBalancer gets the nodes' addresses), file (as --cloud-config declares it), grpc (a program that --cloud-config leads to) or none (default local; none with --cloud-provider=external)")
	f.StringVar(&c.Cloud.File, "cloud-config", "", "configuration of the cloud (file)")
	f.StringVar(&c.NodeTunnel, "node-tunnel", "", "konnectivity: reach nodes and pods only through connections that 'sampan agent --tunnel' keeps; ssh: by logging in to nodes; default is directly")
	f.StringVar(&c.SSHUser, "ssh-user", "", "whom --node-tunnel=ssh logs in as")
	f.StringVar(&c.SSHKeyFile, "ssh-keyfile", "", "private key (file) that it logs in with")
	f.StringVar(&c.TunnelListen, "tunnel-listen", "", "ADDR:PORT for the agents of --node-tunnel=konnectivity (default port "+config.TunnelPort+" of the API server's address)")
	f.BoolVar(&c.InsecureKubeletTLS, "insecure-kubelet-tls", false, "do not verify the kubelets' certificates, as a stock API server without --kubelet-certificate-authority")
	f.Int64Var(&c.EtcdQuota, "quota-backend-bytes", c.EtcdQuota, "bytes that the embedded etcd's database may take (default 8 GiB)")
	f.BoolVar(&c.DurableLeasesAndEvents, "durable-leases-and-events", false, "do not let events and renewals of leases reach the embedded etcd late; a crash then undoes none of them")
	c.API.Table().
		Says("etcd-servers", "URLs of an etcd cluster to use instead of the embedded member").
		Says("audit-log-path", "file that audit events are written to (default audit.log of the data directory, at most 64 MiB of it); '-' is standard output").
		Says("authorization-mode", "who decides what callers may do, one after the other: of AlwaysAllow, AlwaysDeny, ABAC, Webhook, RBAC, Node (default Node,RBAC)").
		Says("encryption-provider-config", "EncryptionConfiguration (file) instead of the cluster's own, which encrypts Secrets in the embedded etcd").
		Says("kubelet-certificate-authority", "authority (PEM file) of the kubelets' certificates instead of the cluster's own").
		Only("feature-gates", "runtime-config", "anonymous-auth", "authentication-config", "token-auth-file", "authentication-token-webhook-config-file", "authentication-token-webhook-version",
			"authentication-token-webhook-cache-ttl", "oidc-issuer-url", "oidc-client-id", "oidc-ca-file", "oidc-username-claim", "oidc-username-prefix", "oidc-groups-claim",
			"oidc-groups-prefix", "oidc-required-claim", "oidc-signing-algs", "kubelet-certificate-authority", "etcd-servers", "etcd-cafile", "etcd-certfile", "etcd-keyfile",
			"etcd-prefix", "max-requests-inflight", "max-mutating-requests-inflight", "tls-min-version", "enable-admission-plugins", "disable-admission-plugins", "admission-control-config-file",
			"audit-log-path", "audit-policy-file", "audit-log-maxsize", "audit-log-maxage", "audit-log-maxbackup", "audit-log-compress", "audit-log-format", "audit-log-mode", "audit-webhook-config-file", "audit-webhook-mode", "audit-webhook-initial-backoff", "audit-webhook-batch-max-wait", "audit-webhook-batch-max-size",
			"egress-selector-config-file", "encryption-provider-config", "encryption-provider-config-automatic-reload",
			"authorization-mode", "authorization-config", "authorization-policy-file", "authorization-webhook-config-file", "authorization-webhook-version",
			"authorization-webhook-cache-authorized-ttl", "authorization-webhook-cache-unauthorized-ttl").
		AddTo(f)
	c.Controllers.Table().
		Says("controllers", "controllers to run: '*', 'name', '-name', comma separated; '-*' for none of them, where another controller manager is to do it").
		Only("controllers", "node-monitor-grace-period").
		AddTo(f)
}

// NodeFlags describe one node: sampan's own flags, and those of the kubelet that it has.
func (c *Config) NodeFlags(f *pflag.FlagSet) {
	flag.Removed(f)
	flag.Table{component.NodeName(&c.NodeName)}.AddTo(f)
	f.StringVar(&c.NodeName, "node-name", "", "the same as --hostname-override")
	f.StringVar(&c.NodeIP, "node-ip", "", "address of the node; default is that of the default route's link")
	f.StringVar(&c.NodeExternalIP, "node-external-ip", "", "address of the node that the outside can reach")
	f.StringVar(&c.RuntimeEndpoint, "container-runtime-endpoint", "", "CRI socket to use instead of the bundled containerd")
	f.StringVar(&c.StaticPodPath, "pod-manifest-path", "", "folder of static pods (default DATA-DIR/manifests)")
	f.BoolVar(&c.FastFailover, "fast-failover", false, "when the node is cut off, end the pods of StatefulSets and those with claims, so that others take their place within 90s")
	f.StringVar(&c.MachineID, "machine-id", "", "instead of /etc/machine-id")
	_ = f.MarkHidden("machine-id") // for nodes that share a machine
	f.StringVar(&c.Kubelet.File, "kubelet-config", "", "KubeletConfiguration (file) of the node; flags win over it, and what the cluster has one of (ranges, DNS, folders) is the cluster's")
	c.nodeFlags = f
	c.Kubelet.Table().
		Says("node-status-update-frequency", "how often the node's status is looked at and, if it was given, posted; else every 5m while nothing changes").
		Says("eviction-hard", "thresholds of the node's pressure (default those of the stock kubelet: memory.available<100Mi,nodefs.available<10%,…)").
		Only("node-labels", "register-with-taints", "register-node", "cloud-provider", "node-status-update-frequency", "system-reserved", "kube-reserved",
			"eviction-hard", "max-pods", "manifest-url", "cpu-manager-policy", "cpu-manager-policy-options", "cpu-manager-reconcile-period",
			"memory-manager-policy", "topology-manager-policy", "topology-manager-policy-options", "topology-manager-scope", "reserved-cpus", "reserved-memory", "fail-swap-on").
		AddTo(f)
	c.Proxy.Table().Only("proxy-mode").AddTo(f)
}

// not is a switch that is kept the other way round.
type not struct{ off *bool }

func (n not) Type() string   { return "bool" }
func (n not) String() string { return fmt.Sprint(n.off == nil || !*n.off) }
func (n not) Set(s string) error {
	on, err := strconv.ParseBool(s)
	*n.off = !on
	return err
}
