package suite

import (
	"strings"
	"testing"

	"sampan.dev/internal/component/flag"

	"github.com/spf13/pflag"
)

// upFlags makes the flags of `up` and of `agent` alike.
func upFlags(t *testing.T) (*Config, *pflag.FlagSet) {
	t.Helper()
	c := New()
	c.DataDir, c.ClusterCIDR, c.ServiceCIDR = t.TempDir(), "10.244.0.0/16", "10.96.0.0/16"
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.ClusterFlags(fs)
	c.NodeFlags(fs)
	return &c, fs
}

// What a program's own settings refuse, the whole refuses too, and names the flag.
func TestCheckNamesTheFlag(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", ""},
		{"--cloud-provider=external", ""},
		{"--cloud-provider=aws", "cloud-controller-manager"},
		{"--controllers=*,-nodelifecycle-typo", "--controllers"},
		{"--controllers=-*", ""},
		{"--controllers=*,-service-lb-controller", ""},
		{"--cloud=none", ""},
		{"--cloud=nonesuch", `--cloud: unknown cloud provider "nonesuch"`},
		{"--enable-admission-plugins=Nonesuch", "Nonesuch"},
		{"--authentication-config=/nonesuch", "--authentication-config"},
		{"--node-labels====", "--node-labels"},
		{"--register-with-taints=a=b", "--register-with-taints"},
		{"--node-ip=nowhere", "--node-ip"},
		{"--node-name=a_b", "--node-name"},
		{"--max-pods=-1", "--max-pods"},
		{"--eviction-hard=memory.available=1Gi", "malformed pair, expect string<string"},
		{"--eviction-hard=memory.available<1Gi", ""},
		{"--eviction-hard=nonesuch<1Gi", "--eviction-hard"},
		{"--system-reserved=gpu=1", "--system-reserved"},
		{"--topology-manager-policy=close", "--topology-manager-policy"},
		{"--cpu-manager-policy=static --cpu-manager-policy-options=align-by-socket=true", "Alpha-level Options not enabled"},
		{"--cpu-manager-policy-options=full-pcpus-only=true", "received unsupported options"},
		{"--reserved-memory=0:cpu=1", `unknown type: "cpu"`},
		{"--insecure-port=8080", "HTTPS only"},
		{"--max-requests-inflight=-1", "can not be negative value"},
		{"--max-mutating-requests-inflight=-1", "can not be negative value"},
		{"--max-requests-inflight=0", ""},
		{"--cloud-config=/nonesuch", "--cloud-config /nonesuch: --cloud=local has no configuration"},
		{"--cloud-config=/nonesuch --cloud=none", "--cloud=none has no configuration"},
		{"--etcd-cafile=/nonesuch", "--etcd-cafile /nonesuch: there is no etcd elsewhere"},
		{"--etcd-keyfile=/nonesuch", "--etcd-keyfile"},
		{"--kubeconfig-out=/", "--kubeconfig-out /: is a directory"},
		{"--kubeconfig-out=/etc/passwd/kubeconfig", "--kubeconfig-out: stat /etc/passwd/kubeconfig: not a directory"},
	} {
		cfg, fs := upFlags(t)
		err := flag.Parse(fs, strings.Fields(c.args))
		if err == nil {
			err = cfg.Check()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

// Each setting reaches the program that it is of.
func TestProgramsAreGivenTheirSettings(t *testing.T) {
	c, fs := upFlags(t)
	if err := flag.Parse(fs, strings.Fields("--scheduler=false --controllers=*,-garbage-collector-controller --node-monitor-grace-period=20s --max-pods=7 "+
		"--node-status-update-frequency=4s --max-requests-inflight=0 --audit-log-path=audit.log --node-name=Here --eviction-hard=memory.available<1Gi")); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	if !c.NoScheduler || !strings.HasPrefix(c.API.Audit.Log.Path, "/") {
		t.Errorf("scheduler off: %v, audit log %s", c.NoScheduler, c.API.Audit.Log.Path)
	}
	manager, err := c.Controllers.Manager(nil)
	if err != nil || len(manager.Controllers) != 2 || manager.NodeLifecycle.MonitorGrace.Seconds() != 20 || manager.NodeIPAM.ClusterCIDRs[0].String() != "10.244.0.0/16" {
		t.Errorf("controllers: %+v %v", manager, err)
	}
	if h, err := c.API.Hub(); err != nil || h.MaxReads != -1 || h.MaxWrites != 200 {
		t.Errorf("API server: %d reads, %d writes, %v", h.MaxReads, h.MaxWrites, err)
	}
	k, err := c.Kubelet.Kubelet("here")
	if err != nil || k.MaxPods != 7 || k.StatusEvery.Seconds() != 4 || k.ReportEvery.Seconds() != 4 || k.EvictionHard["memory.available"] != "1Gi" ||
		k.RootDir != c.DataDir+"/kubelet" || k.ClusterDNS[0] != "10.96.0.10" {
		t.Errorf("kubelet: %+v %v", k, err)
	}
	if name, _ := c.Node(); name != "here" {
		t.Errorf("the node is %s", name)
	}
}

// A cluster authorizes by Node and RBAC unless it is told otherwise; nobody has to have called Check for that.
func TestAuthorizersByDefault(t *testing.T) {
	c := New()
	s, err := c.Authorizers()
	if err != nil || s.Open() {
		t.Errorf("everybody may do everything: %v", err)
	}
	c.API.Authorization.Modes = []string{"AlwaysAllow"}
	if s, err = c.Authorizers(); err != nil || !s.Open() {
		t.Errorf("what is asked for does not count: %v", err)
	}
}
