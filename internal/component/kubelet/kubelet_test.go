package kubelet

import (
	"testing"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/flag/flagtest"
)

func TestFlags(t *testing.T) {
	flagtest.Check(t, "kubelet", func() flag.Table { return New().Table() })
	flagtest.Fields(t, "KubeletConfiguration", New().Table())
}
