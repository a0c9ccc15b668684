package plugins

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	registerapi "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const (
	askLimit = 10 * time.Second // for a plugin to say who it is
	// A plugin that could not be registered is asked again after a pause that grows from the first to the second.
	firstPause, lastPause = 500 * time.Millisecond, 2 * time.Minute
)

// serve registers the plugin of a socket, tries again while that fails, and drops it when life ends. ctx is the kubelet's: when that ends
// the plugin stays.
func (w *Watcher) serve(ctx, life context.Context, path string) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		drop, err := w.register(ctx, life, path)
		if err == nil {
			<-life.Done()
			if ctx.Err() == nil {
				drop(ctx)
			}
			return
		}
		if life.Err() == nil {
			w.Log.Warn("plugin not registered", "socket", path, "error", err)
		}
		select {
		case <-life.Done():
			return
		case <-time.After(pause):
		}
	}
}

// register asks who listens at a socket and hands that to the handler of its type. drop takes it back. ctx and life are serve's.
func (w *Watcher) register(ctx, life context.Context, path string) (drop func(context.Context), err error) {
	conn, err := Dial(path)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	api := registerapi.NewRegistrationClient(conn)
	asking, cancel := context.WithTimeout(life, askLimit)
	defer cancel()
	info, err := api.GetInfo(asking, &registerapi.InfoRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return nil, fmt.Errorf("failed to get plugin info using RPC GetInfo at socket %s, err: %w", path, err)
	}
	h, known := w.Handlers[info.Type]
	if !known {
		return nil, tell(life, api, fmt.Errorf("RegisterPlugin error -- no handler registered for plugin type: %s at socket %s", info.Type, path))
	}
	endpoint := info.Endpoint
	if endpoint == "" {
		endpoint = path
	}
	if err := h.Validate(info.Name, endpoint, info.SupportedVersions); err != nil {
		return nil, tell(life, api, fmt.Errorf("RegisterPlugin error -- plugin validation failed with err: %w", err))
	}
	if err := h.Register(life, info.Name, endpoint, info.SupportedVersions); err != nil {
		return nil, tell(life, api, fmt.Errorf("RegisterPlugin error -- plugin registration failed with err: %w", err))
	}
	drop = func(ctx context.Context) {
		h.Unregister(ctx, info.Name, endpoint)
		w.Log.Info("plugin gone", "type", info.Type, "name", info.Name)
	}
	if err := tell(life, api, nil); err != nil {
		if ctx.Err() == nil { // else the kubelet ends while it says so
			drop(ctx)
		}
		return nil, fmt.Errorf("failed to send registration status at socket %s, err: %w", path, err)
	}
	w.Log.Info("plugin registered", "type", info.Type, "name", info.Name, "endpoint", endpoint)
	return drop, nil
}

// tell says to a plugin how its registration ended, and returns the error that it ended with.
func tell(ctx context.Context, api registerapi.RegistrationClient, outcome error) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	status := &registerapi.RegistrationStatus{PluginRegistered: outcome == nil}
	if outcome != nil {
		status.Error = outcome.Error()
	}
	if _, err := api.NotifyRegistrationStatus(ctx, status); err != nil && outcome == nil {
		return err
	}
	return outcome
}

// Dial makes a connection to a plugin's socket, without waiting for it.
func Dial(path string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+path, grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableServiceConfig(),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))
	if err != nil {
		return nil, fmt.Errorf("failed to dial socket %s, err: %w", path, err)
	}
	return conn, nil
}
