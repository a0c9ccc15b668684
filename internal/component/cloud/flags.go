package cloud

import (
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
)

// Reasons that several flags share.
const (
	workers   = "calls of the provider are as many at a time as the work needs"
	noWebhook = "no provider of this program has webhooks"
)

// Table is every flag of upstream's, and what becomes of it.
func (c *Config) Table() flag.Table {
	return flag.Join(
		c.Contact.Rows("", "20", "30"), c.Lead.Rows(name, ""), c.Migration.Rows(), c.Face.Rows(10258, false),
		component.Profiling("", component.NoProfiles), flag.Table{component.NoGates()}, c.Log.Rows(""),
		c.loops(), c.cloud(), webhooks(),
	)
}

func (c *Config) loops() flag.Table {
	return flag.Table{
		flag.Set("controllers", flag.List(&c.Controllers), "loops to run: '*', 'name', '-name', comma separated"),
		flag.Set("use-service-account-credentials", flag.Bool(&c.OwnAccounts), "have each loop act as its own service account in kube-system"),
		flag.Ignore("controller-start-interval", "duration", "", "loops start together"),
		flag.Ignore("min-resync-period", "duration", "12h0m0s", "informers follow watches and need no second look"),
		flag.Set("node-monitor-period", flag.Duration(&c.NodeMonitor), "how often the cloud is asked about a node that is not ready"),
		flag.Set("node-status-update-frequency", flag.Duration(&c.NodeStatus), "how often the cloud is asked about the addresses of a node"),
		flag.Set("route-reconciliation-period", flag.Duration(&c.RouteResync), "how often the cloud's routes are looked at where no node has changed"),
		flag.Ignore("node-sync-period", "duration", "", "upstream does nothing with it either"),
		flag.Ignore("concurrent-service-syncs", "int32", "1", workers),
		flag.Ignore("concurrent-node-syncs", "int32", "1", workers),
		flag.Ignore("concurrent-node-status-updates", "int32", "", workers),
		flag.Ignore("concurrent-node-lifecycle-syncs", "int32", "1", workers),
	}
}

func (c *Config) cloud() flag.Table {
	return flag.Table{
		flag.Set("cloud-provider", flag.String(&c.Provider), "the cloud: file, grpc (a program of its own), or local (balancers only)"),
		flag.Set("cloud-config", flag.String(&c.File), "configuration of the cloud (file)"),
		flag.Set("cluster-name", flag.String(&c.ClusterName), "what the cloud calls this cluster"),
		flag.Set("cluster-cidr", flag.Prefixes(&c.ClusterCIDRs), "range of the pods' addresses, one for each family"),
		flag.Set("allocate-node-cidrs", flag.Bool(&c.AllocateCIDRs), "nodes have ranges of pods' addresses that need routes"),
		flag.Set("configure-cloud-routes", flag.Bool(&c.Routes), "keep a route to each node's range"),
		flag.Set("allow-untagged-cloud", flag.Bool(&c.Untagged), "go on where the cloud cannot tell this cluster from another"),
		flag.Refuse("cidr-allocator-type", "string", `"RangeAllocator"`, "ranges are given by kube-controller-manager"),
		flag.Refuse("external-cloud-volume-plugin", "string", "", "volumes are CSI drivers' business"),
	}
}

func webhooks() flag.Table {
	return flag.Table{
		flag.Refuse("webhooks", "strings", "", noWebhook),
		flag.Ignore("webhook-bind-address", "ip", "0.0.0.0", noWebhook),
		flag.Ignore("webhook-cert-dir", "string", "", noWebhook),
		flag.Ignore("webhook-disable-http2-serving", "bool", "", noWebhook),
		flag.Ignore("webhook-secure-port", "int", "10260", noWebhook),
		flag.Ignore("webhook-tls-cert-file", "string", "", noWebhook),
		flag.Ignore("webhook-tls-cipher-suites", "strings", "", noWebhook),
		flag.Ignore("webhook-tls-curve-preferences", "int32Slice", "[]", noWebhook),
		flag.Ignore("webhook-tls-min-version", "string", "", noWebhook),
		flag.Refuse("webhook-tls-sni-cert-key", "namedCertKey", "[]", noWebhook),
		flag.Ignore("webhook-tls-private-key-file", "string", "", noWebhook),
	}
}
