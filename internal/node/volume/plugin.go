package volume

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// plugin makes the volumes of one kind present. Plugins have no state; what they need is in the mounting. Volumes are taken away
// alike, whatever their kind: Manager.Unmount finds what is mounted.
//
// plugin_test.go has what every plugin has to satisfy.
type plugin interface {
	// handles reports whether v is a volume of this kind.
	handles(v *corev1.Volume) bool
	// mount makes a volume present and its contents up to date. It is called again for a volume that is there, of this process
	// or an earlier one, and then changes what differs and nothing else.
	mount(ctx context.Context, m mounting) (Mounted, error)
	// shows calls configMap and secret with the names of the objects that mount reads, so that they can be watched.
	shows(v *corev1.Volume, configMap, secret func(name string))
}

// plugins are all kinds of volumes. The directory names are upstream's.
var plugins = []plugin{
	emptyDir{},
	hostPath{},
	configMap{},
	secret{},
	downwardAPI{},
	projected{},
	image{},
	claim{},
	nfs{},
	driven{},
}
