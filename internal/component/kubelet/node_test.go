package kubelet

import (
	"strings"
	"testing"
)

func TestNodeLabels(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"a=b,example.com/c=d":                "",
		"node.kubernetes.io/x=y":             "",
		"foo.kubelet.kubernetes.io/x=y":      "",
		"topology.kubernetes.io/zone=z":      "",
		"node-role.kubernetes.io/worker=":    "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [node-role.kubernetes.io/worker]",
		"node-restriction.kubernetes.io/a=b": "unknown",
		"x.k8s.io/a=b,kubernetes.io/c=d":     "[kubernetes.io/c x.k8s.io/a]",
		"mykubernetes.io/a=b":                "",
		"a=":                                 "",
		"a":                                  `--node-labels "a": want key=value`,
		"a=b,":                               `--node-labels "": want key=value`,
		"a=b,=c":                             `--node-labels "=c": name part must be non-empty`,
		"a=b c":                              `--node-labels "a=b c": a valid label must be an empty string or consist of`,
	} {
		if _, err := Labels(in); !says(err, want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestNodeTaints(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a:NoSchedule": "", "example.com/a=b:NoExecute,c=:PreferNoSchedule": "",
		"a=b":             "want key=value:effect",
		"a=b:Never":       "invalid taint effect: Never",
		"=b:NoSchedule":   "name part must be non-empty",
		"a=b c:NoExecute": "a valid label must be",
	} {
		if _, err := Taints(in); !says(err, want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestNodeReserves(t *testing.T) {
	r, err := ReadReserves(map[string]string{"cpu": "200m"}, nil, "memory.available<1Gi,nodefs.available<10%")
	if err != nil {
		t.Fatal(err)
	}
	if r.System.Cpu().MilliValue() != 200 || len(r.Kube) != 0 || r.EvictionHard["memory.available"] != "1Gi" || r.EvictionHard["nodefs.available"] != "10%" {
		t.Errorf("%+v", r)
	}
	for want, bad := range map[string]struct {
		SystemReserved, KubeReserved map[string]string
		EvictionHard                 string
	}{
		`cannot reserve "gpu" resource`:             {SystemReserved: map[string]string{"gpu": "1"}},
		`failed to parse quantity "x"`:              {KubeReserved: map[string]string{"cpu": "x"}},
		`cannot be negative`:                        {KubeReserved: map[string]string{"cpu": "-1"}},
		`want SIGNAL<AMOUNT`:                        {EvictionHard: "memory.available=1Gi"},
		`"memory.available<much"`:                   {EvictionHard: "memory.available<much"},
		`one of memory.available, nodefs.available`: {EvictionHard: "luck<1"},
	} {
		if _, err := ReadReserves(bad.SystemReserved, bad.KubeReserved, bad.EvictionHard); !says(err, want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestNodeIPs(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "10.0.0.1": "", "10.0.0.1,fd00::1": "", "fd00::1,10.0.0.1": "",
		"10.0.0.1,10.0.0.2": "one of each family", "10.0.0.1,fd00::1,fd00::2": "one of each family", "x": "not an IP address",
	} {
		if _, err := NodeIPs(in); !says(err, want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

// says reports whether err contains want, or is nil when want is empty.
func says(err error, want string) bool {
	if want == "" || err == nil {
		return err == nil && want == ""
	}
	return strings.Contains(err.Error(), want)
}
