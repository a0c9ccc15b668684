package runtime

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// spoken is a runtime that answers with its configuration, or does not know the question when it has none.
type spoken struct {
	cri.UnimplementedRuntimeServiceServer
	config *cri.RuntimeConfigResponse
}

func (s *spoken) RuntimeConfig(ctx context.Context, r *cri.RuntimeConfigRequest) (*cri.RuntimeConfigResponse, error) {
	if s.config == nil {
		return s.UnimplementedRuntimeServiceServer.RuntimeConfig(ctx, r)
	}
	return s.config, nil
}

func TestCgroupDriver(t *testing.T) {
	linux := func(d cri.CgroupDriver) *cri.RuntimeConfigResponse {
		return &cri.RuntimeConfigResponse{Linux: &cri.LinuxRuntimeConfiguration{CgroupDriver: d}}
	}
	for name, c := range map[string]struct {
		config         *cri.RuntimeConfigResponse
		asked          string
		want, complain string
	}{
		"the runtime's stands":      {linux(cri.CgroupDriver_SYSTEMD), "cgroupfs", "systemd", ""},
		"either way":                {linux(cri.CgroupDriver_CGROUPFS), "systemd", "cgroupfs", ""},
		"it says nothing of Linux":  {&cri.RuntimeConfigResponse{}, "cgroupfs", "cgroupfs", ""},
		"it knows no such question": {nil, "systemd", "systemd", ""},
		"it says what is unknown":   {linux(7), "systemd", "", "runtime returned an unknown cgroup driver 7"},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			server := grpc.NewServer()
			cri.RegisterRuntimeServiceServer(server, &spoken{config: c.config})
			go server.Serve(l) // ends with Stop
			defer server.Stop()
			client, err := Dial(socket, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			got, err := client.CgroupDriver(t.Context(), c.asked)
			if got != c.want || (err == nil) != (c.complain == "") || err != nil && err.Error() != c.complain {
				t.Errorf("the driver is %q, %v; want %q, %q", got, err, c.want, c.complain)
			}
		})
	}
}
