package volume

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// image is a volume that the container runtime mounts from an image: nothing is to be made here.
type image struct{ alone }

func (image) handles(v *corev1.Volume) bool { return v.Image != nil }

func (image) mount(context.Context, mounting) (Mounted, error) { return Mounted{}, nil }
