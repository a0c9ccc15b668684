package proxy

import (
	"testing"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/flag/flagtest"
)

func TestFlags(t *testing.T) {
	flagtest.Check(t, "kube-proxy", func() flag.Table { return New().Table() }, "instance")
	flagtest.Fields(t, "KubeProxyConfiguration", New().Table())
}
