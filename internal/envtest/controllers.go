package envtest

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"sampan.dev/internal/api/all"
	"sampan.dev/internal/component/apiserver"
	"sampan.dev/internal/control"
	"sampan.dev/internal/hub"
)

// Variable is what asks for controllers beside the API server: "on" for those without which namespaces stay for ever and what is owned
// is never collected, or a list as kube-controller-manager's --controllers has it ("*", "deployment-controller,…").
const Variable = "SAMPAN_TEST_CONTROLLERS"

// APIServer is an API server of its own, with upstream's defaults and the controllers that the environment asks for.
func APIServer() *apiserver.Config {
	c := apiserver.New()
	if chosen := selection(os.Getenv(Variable)); chosen != nil {
		c.Beside = func(ctx context.Context, h *hub.Hub, log *slog.Logger) error { return run(ctx, h, chosen, log) }
	}
	return c
}

// selection reads the variable; nil is that nothing is asked for.
func selection(value string) []string {
	switch strings.ToLower(value) {
	case "", "off", "false", "0", "no":
		return nil
	case "on", "true", "1", "yes":
		return []string{"namespace-controller", "garbage-collector-controller"}
	}
	return strings.Split(value, ",")
}

func run(ctx context.Context, h *hub.Hub, chosen []string, log *slog.Logger) error {
	m, err := control.New(control.Config{Doors: h.Door, Kinds: all.Kinds(), Log: log, Controllers: chosen})
	if err != nil {
		return err
	}
	log.Info("controllers run beside the API server", "controllers", strings.Join(chosen, ","))
	return m.Run(ctx)
}
