package konnectivity

import (
	"strings"
	"testing"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/flag/flagtest"

	"github.com/spf13/pflag"
)

func TestFlags(t *testing.T) {
	flagtest.Check(t, "proxy-server", func() flag.Table { return NewServer().Table() })
	flagtest.Check(t, "proxy-agent", func() flag.Table { return NewAgent().Table() })
}

func TestMistakesAreTold(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--mode=x", `mode must be set to either 'grpc' or 'http-connect' not "x"`},
		{"--uds-name=/x", "server port should be set to 0 not 8090 for UDS"},
		{"--uds-name=/x --server-port=0 --server-key=k", "server key should not be set for UDS"},
		{"--uds-name=/x --server-port=0", "--cluster-cert and --cluster-key are needed"},
		{"--uds-name=/x --server-port=0 --cluster-cert=a --cluster-key=b --agent-namespace=n", "--agent-service-account cannot be empty when agent authentication is enabled"},
		{"--uds-name=/x --server-port=0 --cluster-cert=a --cluster-key=b --agent-namespace=n --cluster-ca-cert=c", "--cluster-ca-cert can not be used when agent authentication is enabled"},
		{"--enable-lease-controller", noLeases},
	} {
		s := NewServer()
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		s.Flags(fs)
		err := flag.Parse(fs, strings.Fields(c.args))
		if err == nil {
			err = s.validate()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}
