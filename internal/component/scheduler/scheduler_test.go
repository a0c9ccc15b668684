package scheduler

import (
	"testing"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/flag/flagtest"
)

func TestFlags(t *testing.T) {
	flagtest.Check(t, "kube-scheduler", func() flag.Table { return New().Table() })
	flagtest.Fields(t, "KubeSchedulerConfiguration", New().Table())
}
