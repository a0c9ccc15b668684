package csi

import (
	"context"
	"errors"
	"testing"
	"time"

	"sampan.dev/internal/node/csi/csitest"
	"sampan.dev/internal/node/plugins"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestTimed tells of calls that went well and of those that the driver refused, by the method's full name.
func TestTimed(t *testing.T) {
	d := &csitest.Driver{Info: &csipb.NodeGetInfoResponse{NodeId: "id-1"}}
	conn, err := plugins.Dial(d.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var told []string
	api := csipb.NewNodeClient(timed{conn, "d.example.com", func(driver, method, code string, d time.Duration) {
		if d <= 0 {
			t.Errorf("%s took %v", method, d)
		}
		told = append(told, driver+" "+method+" "+code)
	}})
	if _, err := api.NodeGetInfo(t.Context(), &csipb.NodeGetInfoRequest{}); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := api.NodeGetInfo(gone, &csipb.NodeGetInfoRequest{}); err == nil {
		t.Fatal("a call that was called off went well")
	}
	want := []string{"d.example.com /csi.v1.Node/NodeGetInfo OK", "d.example.com /csi.v1.Node/NodeGetInfo Canceled"}
	if len(told) != 2 || told[0] != want[0] || told[1] != want[1] {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestEnding(t *testing.T) {
	for want, err := range map[string]error{
		"OK": nil, "unknown-non-grpc": errors.New("no socket"), "NotFound": status.Error(codes.NotFound, "no volume"), "Unknown": status.Error(codes.Unknown, "?"),
	} {
		if got := ending(err); got != want {
			t.Errorf("%v ends as %q, want %q", err, got, want)
		}
	}
}
