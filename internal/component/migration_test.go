package component

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMigration(t *testing.T) {
	controllers := [][]string{
		{"cloud-node-controller", "cloud-node", "node-controller"}, {"cloud-node-lifecycle-controller", "cloud-node-lifecycle", "node-controller"},
		{"node-route-controller", "route", "route-controller"}, {"service-lb-controller", "service", "service-controller"},
	}
	const head = "kind: LeaderMigrationConfiguration\napiVersion: controllermanager.config.k8s.io/v1\nleaderName: moving\n"
	for _, c := range []struct {
		name, file  string
		own, moving string // or in moving what the error says
	}{
		{"upstream's default", "", "cloud-node-controller", "cloud-node-lifecycle-controller node-route-controller service-lb-controller"},
		{"some", head + "controllerLeaders:\n- {name: route, component: '*'}\n- {name: service-lb-controller, component: cloud-controller-manager}\n",
			"cloud-node-controller cloud-node-lifecycle-controller", "node-route-controller service-lb-controller"},
		{"another's", head + "controllerLeaders:\n- {name: route, component: kube-controller-manager}\n",
			"cloud-node-controller cloud-node-lifecycle-controller service-lb-controller", ""},
		{"old version", strings.Replace(head, "/v1", "/v1alpha1", 1) + "resourceLock: leases\ncontrollerLeaders: []\n",
			"cloud-node-controller cloud-node-lifecycle-controller node-route-controller service-lb-controller", ""},
		{"no name", "kind: LeaderMigrationConfiguration\napiVersion: controllermanager.config.k8s.io/v1\n", "error", "leaderName must be set"},
		{"other kind", "kind: X\napiVersion: v1\n", "error", `no kind "X" is registered for version "v1"`},
		{"unknown field", head + "x: 1\n", "error", `unknown field "x"`},
		{"bad lock", head + "resourceLock: maps\n", "error", "must be one of 'leases' or 'endpoints'"},
		{"half a row", head + "controllerLeaders:\n- {name: route}\n", "error", "controllerLeaders[0].component: Required value"},
	} {
		m := Migration{Enabled: true}
		if c.file != "" {
			m.File = filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(m.File, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		moving, err := m.Read()
		if err != nil {
			if c.own != "error" || !strings.Contains(err.Error(), c.moving) {
				t.Errorf("%s: %v, want %s", c.name, err, c.moving)
			}
			continue
		}
		own, moved := moving.Split("cloud-controller-manager", controllers)
		if !slices.Equal(own, strings.Fields(c.own)) || !slices.Equal(moved, strings.Fields(c.moving)) {
			t.Errorf("%s: own %v, moving %v", c.name, own, moved)
		}
	}
	if m, err := (&Migration{}).Read(); m != nil || err != nil {
		t.Errorf("off: %v %v", m, err)
	}
}
