package cluster

import (
	"fmt"

	"sampan.dev/internal/config"

	"github.com/spf13/pflag"
)

// PlaceFlags say which cluster a command is about.
func PlaceFlags(f *pflag.FlagSet, c *config.Config) {
	f.StringVar(&c.DataDir, "data-dir", c.DataDir, "where the cluster keeps its state; several live side by side in different ones")
}

// LogFlags say how to log.
func LogFlags(f *pflag.FlagSet, c *config.Config) {
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "text or json")
}

// ClusterFlags describe a cluster.
func ClusterFlags(f *pflag.FlagSet, c *config.Config) {
	f.StringVar(&c.Listen, "listen", c.Listen, "ADDR:PORT of the API server")
	f.StringVar(&c.ClusterCIDR, "cluster-cidr", c.ClusterCIDR, "range of the pods' addresses (default 10.244.0.0/16; another one for each other --data-dir)")
	f.StringVar(&c.ServiceCIDR, "service-cidr", c.ServiceCIDR, "range of the services' addresses (default 10.96.0.0/16; another one for each other --data-dir)")
	f.StringVar(&c.ClusterDomain, "cluster-domain", c.ClusterDomain, "DNS domain of the cluster")
	f.StringSliceVar(&c.TLSSANs, "tls-san", nil, "further names and addresses of the API server's certificate")
	f.StringVar(&c.KubeconfigOut, "kubeconfig-out", "", "also write the administrator's kubeconfig to this file")
	f.BoolVar(&c.NoNode, "no-node", false, "control plane only; needs no root")
	f.StringVar(&c.Controllers, "controllers", c.Controllers, "controllers to run: '*', 'name', '-name', comma separated; '-*' for none of them, where another controller manager is to do it")
	f.BoolVar(&c.Scheduler, "scheduler", c.Scheduler, "run the scheduler; false where another one is to do it")
	f.DurationVar(&c.NodeMonitorGracePeriod, "node-monitor-grace-period", c.NodeMonitorGracePeriod, "how long a node may be silent before it is Unknown")
	f.BoolVar(&c.AnonymousAuth, "anonymous-auth", c.AnonymousAuth, "take requests without credentials for those of system:anonymous, instead of refusing them")
	f.StringVar(&c.AuthenticationConfig, "authentication-config", "", "AuthenticationConfiguration (file): anonymous, and its conditions")
	f.StringVar(&c.KubeletCAFile, "kubelet-certificate-authority", "", "authority (PEM file) of the kubelets' certificates instead of the cluster's own")
	f.BoolVar(&c.InsecureKubeletTLS, "insecure-kubelet-tls", false, "do not verify the kubelets' certificates, as a stock API server without --kubelet-certificate-authority")
	f.StringSliceVar(&c.EtcdServers, "etcd-servers", nil, "URLs of an etcd cluster to use instead of the embedded member")
	f.IntVar(&c.MaxReads, "max-requests-inflight", c.MaxReads, "requests that read which are served at a time; 0: any number")
	f.IntVar(&c.MaxWrites, "max-mutating-requests-inflight", c.MaxWrites, "requests that write which are served at a time; 0: any number")
	f.StringVar(&c.EtcdCAFile, "etcd-cafile", "", "CA of that etcd")
	f.StringVar(&c.EtcdCertFile, "etcd-certfile", "", "client certificate for that etcd")
	f.StringVar(&c.EtcdKeyFile, "etcd-keyfile", "", "client key for that etcd")
	f.StringSliceVar(&c.EnableAdmission, "enable-admission-plugins", nil, "admission plugins to run beside the default ones; those that are not implemented are refused")
	f.StringSliceVar(&c.DisableAdmission, "disable-admission-plugins", nil, "default admission plugins to leave out")
	f.StringVar(&c.AuditLog, "audit-log-path", "", "record every request in this file, at level Metadata; it is turned over when it is full")
	f.Int64Var(&c.EtcdQuota, "quota-backend-bytes", c.EtcdQuota, "bytes that the embedded etcd's database may take (default 8 GiB)")
	f.BoolVar(&c.DurableLeasesAndEvents, "durable-leases-and-events", false, "do not let events and renewals of leases reach the embedded etcd late; a crash then undoes none of them")
	f.StringVar(&c.EtcdPrefix, "etcd-prefix", c.EtcdPrefix, "prefix of all keys in etcd")
}

// NodeFlags describe one node; names and meanings are the stock kubelet's.
func NodeFlags(f *pflag.FlagSet, c *config.Config) {
	removedFlags(f)
	f.StringVar(&c.NodeName, "hostname-override", "", "name of the node instead of the host's")
	f.StringVar(&c.NodeName, "node-name", "", "the same as --hostname-override")
	f.StringVar(&c.NodeIP, "node-ip", "", "address of the node; default is that of the default route's link")
	f.StringVar(&c.NodeLabels, "node-labels", "", "labels to register with: key=value,…")
	f.StringVar(&c.NodeTaints, "register-with-taints", "", "taints to register with: key=value:effect,…")
	f.BoolVar(&c.RegisterNode, "register-node", c.RegisterNode, "register the node with the API server")
	f.StringVar(&c.CloudProvider, "cloud-provider", "", "empty or external")
	f.DurationVar(&c.StatusFrequency, "node-status-update-frequency", 0, "how often the node's status is posted (default 10s, and 5m while nothing changes)")
	f.StringVar(&c.RuntimeEndpoint, "container-runtime-endpoint", "", "CRI socket to use instead of the bundled containerd")
	f.StringVar(&c.NodeExternalIP, "node-external-ip", "", "address of the node that the outside can reach")
	f.StringToStringVar(&c.SystemReserved, "system-reserved", nil, "resources kept from pods for the system: cpu=200m,memory=500Mi,…")
	f.StringToStringVar(&c.KubeReserved, "kube-reserved", nil, "resources kept from pods for sampan itself")
	f.StringVar(&c.EvictionHard, "eviction-hard", "", "thresholds of the node's pressure (default those of the stock kubelet: memory.available<100Mi,nodefs.available<10%,…)")
	f.Int64Var(&c.MaxPods, "max-pods", c.MaxPods, "pods that the node takes")
	f.StringVar(&c.ManifestURL, "manifest-url", "", "URL of static pods")
	f.StringVar(&c.MachineID, "machine-id", "", "instead of /etc/machine-id")
	_ = f.MarkHidden("machine-id") // for nodes that share a machine
	f.StringVar(&c.StaticPodPath, "pod-manifest-path", "", "folder of static pods (default DATA-DIR/manifests)")
}

// removed are flags that are gone from upstream, with what took their place. Scripts still pass them.
var removed = map[string]string{
	"api-servers":           "use --kubeconfig, or --server and --token of 'sampan agent'",
	"insecure-port":         "the API server speaks HTTPS only; 'sampan kubectl' has an administrator's certificate",
	"insecure-bind-address": "the API server speaks HTTPS only; 'sampan kubectl' has an administrator's certificate",
}

// removedFlags makes the mention of a removed flag an error that says what to use.
func removedFlags(f *pflag.FlagSet) {
	for name, instead := range removed {
		f.Func(name, "", func(string) error { return fmt.Errorf("removed; %s", instead) })
		_ = f.MarkHidden(name)
	}
}
