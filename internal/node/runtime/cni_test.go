package runtime

import "testing"

func TestCNIDirs(t *testing.T) {
	for _, test := range []struct{ config, bin, conf string }{
		{`{"cni":{"binDir":"/usr/lib/cni","confDir":"/etc/cni/net.d"}}`, "/usr/lib/cni", "/etc/cni/net.d"},
		{`{"cni":{"binDir":"","binDirs":["/opt/cni/bin","/usr/lib/cni"],"confDir":"/etc/cni/net.d"}}`, "/opt/cni/bin", "/etc/cni/net.d"},
		{`{"containerd":{}}`, "", ""},
		{``, "", ""}, // as of runtimes that do not tell
	} {
		if bin, conf := cniDirs(test.config); bin != test.bin || conf != test.conf {
			t.Errorf("%s: %q, %q", test.config, bin, conf)
		}
	}
}
