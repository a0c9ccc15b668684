package main

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registerapi "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

func main() {
	d := &driver{}
	flag.StringVar(&d.name, "name", "csi.e2e.sampan.dev", "of the driver")
	flag.StringVar(&d.node, "node-id", "", "what the driver calls this node")
	flag.StringVar(&d.state, "state", "", "the folder of the volumes")
	flag.Int64Var(&d.limit, "max-volumes", 0, "that the node may have; 0: no limit")
	endpoint := flag.String("endpoint", "", "the driver's socket")
	registry := flag.String("registry", "", "the kubelet's plugins_registry; empty: the driver does not register")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := d.run(ctx, *endpoint, *registry); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func (d *driver) run(ctx context.Context, endpoint, registry string) error {
	if err := os.MkdirAll(d.state, 0o755); err != nil {
		return err
	}
	done := make(chan error, 2)
	driver := grpc.NewServer(grpc.UnaryInterceptor(tell))
	csipb.RegisterIdentityServer(driver, d)
	csipb.RegisterControllerServer(driver, &controller{driver: d})
	csipb.RegisterNodeServer(driver, &node{driver: d})
	if err := serve(ctx, driver, endpoint, done); err != nil {
		return err
	}
	if registry != "" {
		registrar := grpc.NewServer()
		registerapi.RegisterRegistrationServer(registrar, &registration{d: d, endpoint: endpoint})
		if err := serve(ctx, registrar, filepath.Join(registry, d.name+"-reg.sock"), done); err != nil {
			return err
		}
	}
	return <-done
}

// serve listens at a path until ctx ends.
func serve(ctx context.Context, s *grpc.Server, path string, done chan<- error) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, s.Stop)
	go func() { done <- s.Serve(l) }()
	return nil
}

// tell logs each call.
func tell(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	out, err := handle(ctx, req)
	log.Printf("%s %v: %v", info.FullMethod, req, err)
	return out, err
}

// registration is what node-driver-registrar does beside other drivers.
type registration struct {
	registerapi.UnimplementedRegistrationServer
	d        *driver
	endpoint string
}

// GetInfo implements the service.
func (r *registration) GetInfo(context.Context, *registerapi.InfoRequest) (*registerapi.PluginInfo, error) {
	return &registerapi.PluginInfo{Type: registerapi.CSIPlugin, Name: r.d.name, Endpoint: r.endpoint, SupportedVersions: []string{"1.0.0"}}, nil
}

// NotifyRegistrationStatus implements the service.
func (r *registration) NotifyRegistrationStatus(_ context.Context, s *registerapi.RegistrationStatus) (*registerapi.RegistrationStatusResponse, error) {
	log.Printf("registered: %t %s", s.PluginRegistered, s.Error)
	return &registerapi.RegistrationStatusResponse{}, nil
}
