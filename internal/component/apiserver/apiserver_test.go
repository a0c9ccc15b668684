package apiserver

import (
	"testing"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/flag/flagtest"
)

func TestFlags(t *testing.T) {
	flagtest.Check(t, "kube-apiserver", func() flag.Table { return New().Table() })
}
