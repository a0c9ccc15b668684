package component

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"sampan.dev/internal/component/flag"

	"sigs.k8s.io/yaml"
)

// Migration is how controllers move from one controller manager to another without running in both or in none: those that move are
// run under a lease of their own, which both managers stand for.
type Migration struct {
	Enabled bool
	File    string // LeaderMigrationConfiguration; "" means upstream's default
}

// Rows are the flags.
func (m *Migration) Rows() flag.Table {
	return flag.Table{
		flag.Set("enable-leader-migration", flag.Bool(&m.Enabled), "run the controllers that move to another controller manager under a lease that both stand for"),
		flag.Set("leader-migration-config", flag.String(&m.File), "LeaderMigrationConfiguration (file): that lease, and which controllers move"),
	}
}

// Moving is what a LeaderMigrationConfiguration says.
type Moving struct {
	LeaderName        string  `json:"leaderName"`
	ResourceLock      string  `json:"resourceLock"`
	ControllerLeaders []Mover `json:"controllerLeaders"`
}

// Mover is a controller that moves, and the component that may run it; "*" is any.
type Mover struct {
	Name      string `json:"name"`
	Component string `json:"component"`
}

const usualMigration = `
leaderName: cloud-provider-extraction-migration
resourceLock: leases
controllerLeaders:
- {name: route-controller, component: "*"}
- {name: service-controller, component: "*"}
- {name: cloud-node-lifecycle-controller, component: "*"}
`

// Read reads the configuration; nil when leases do not migrate.
func (m *Migration) Read() (*Moving, error) {
	if !m.Enabled {
		return nil, nil
	}
	var out struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Moving     `json:",inline"`
	}
	data := []byte(usualMigration)
	if m.File != "" {
		var err error
		if data, err = os.ReadFile(m.File); err != nil {
			return nil, fmt.Errorf("unable to read leader migration configuration from %q: %w", m.File, err)
		}
	}
	if err := yaml.UnmarshalStrict(data, &out); err != nil {
		return nil, fmt.Errorf("leader migration configuration: %w", err)
	}
	if m.File != "" {
		versions := []string{"controllermanager.config.k8s.io/v1", "controllermanager.config.k8s.io/v1beta1", "controllermanager.config.k8s.io/v1alpha1"}
		if out.Kind != "LeaderMigrationConfiguration" || !slices.Contains(versions, out.APIVersion) {
			return nil, fmt.Errorf("leader migration configuration: no kind %q is registered for version %q", out.Kind, out.APIVersion)
		}
	}
	return &out.Moving, out.check()
}

func (m *Moving) check() error {
	var errs []error
	if m.LeaderName == "" {
		errs = append(errs, errors.New("leaderName: Required value: leaderName must be set for LeaderMigrationConfiguration"))
	}
	if !slices.Contains([]string{"", "leases", "endpoints"}, m.ResourceLock) {
		errs = append(errs, fmt.Errorf("resourceLock: Invalid value: %q: resource Lock must be one of 'leases' or 'endpoints'", m.ResourceLock))
	}
	for i, c := range m.ControllerLeaders {
		if c.Component == "" {
			errs = append(errs, fmt.Errorf("controllerLeaders[%d].component: Required value", i))
		}
		if c.Name == "" {
			errs = append(errs, fmt.Errorf("controllerLeaders[%d].name: Required value", i))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("failed to parse leader migration configuration: %w", err)
	}
	return nil
}

// Split divides the controllers that a component would run: those of its own lease, and those of the migration's. What moves and is
// another component's to run is in neither. names are all that a controller is called.
func (m *Moving) Split(component string, controllers [][]string) (own, moving []string) {
	for _, names := range controllers {
		at := slices.IndexFunc(m.ControllerLeaders, func(l Mover) bool { return slices.Contains(names, l.Name) })
		switch {
		case at < 0:
			own = append(own, names[0])
		case m.ControllerLeaders[at].Component == component || m.ControllerLeaders[at].Component == "*":
			moving = append(moving, names[0])
		}
	}
	return own, moving
}
