package register

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

func TestDevices(t *testing.T) {
	capacity, allocatable := quantities("cpu=2 memory=4Gi"), quantities("cpu=1 memory=3Gi")
	for _, c := range []struct{ name, last, have, healthy, gone, all, usable string }{
		{name: "none", last: "cpu=1", all: "cpu=2 memory=4Gi", usable: "cpu=1 memory=3Gi"},
		{name: "a plugin", have: "example.com/gpu=2", healthy: "example.com/gpu=1", all: "cpu=2 memory=4Gi example.com/gpu=2", usable: "cpu=1 memory=3Gi example.com/gpu=1"},
		{name: "a plugin that has fewer", last: "example.com/gpu=9", have: "example.com/gpu=2", healthy: "example.com/gpu=2",
			all: "cpu=2 memory=4Gi example.com/gpu=2", usable: "cpu=1 memory=3Gi example.com/gpu=2"},
		{name: "a plugin that is gone", last: "example.com/gpu=2", gone: "example.com/gpu", all: "cpu=2 memory=4Gi example.com/gpu=0", usable: "cpu=1 memory=3Gi example.com/gpu=0"},
		{name: "somebody else's", last: "cpu=1 example.com/dongle=4", all: "cpu=2 memory=4Gi example.com/dongle=4", usable: "cpu=1 memory=3Gi example.com/dongle=4"},
	} {
		d := devices{capacity: quantities(c.have), allocatable: quantities(c.healthy)}
		if c.gone != "" {
			d.gone = []string{c.gone}
		}
		all, usable := withDevices(capacity, allocatable, quantities(c.last), d)
		for what, pair := range map[string][2]corev1.ResourceList{"capacity": {all, quantities(c.all)}, "allocatable": {usable, quantities(c.usable)}} {
			if !equality.Semantic.DeepEqual(pair[0], pair[1]) {
				t.Errorf("%s: %s %v, want %v", c.name, what, pair[0], pair[1])
			}
		}
	}
}
