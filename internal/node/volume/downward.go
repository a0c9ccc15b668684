package volume

import (
	"context"
	"path"

	corev1 "k8s.io/api/core/v1"
)

// downwardAPI shows fields of the pod, and resources of its containers.
type downwardAPI struct{ alone }

func (downwardAPI) handles(v *corev1.Volume) bool { return v.DownwardAPI != nil }

func (downwardAPI) mount(_ context.Context, m mounting) (Mounted, error) {
	v, p := m.volume.DownwardAPI, payload{}
	if err := m.addDownward(p, v.Items, mode(v.DefaultMode)); err != nil {
		return Mounted{}, err
	}
	return m.show("downward-api", true, p)
}

// addDownward adds a file for each item to p.
func (m mounting) addDownward(p payload, items []corev1.DownwardAPIVolumeFile, defMode int32) error {
	for _, it := range items {
		f := file{mode: defMode}
		if it.Mode != nil {
			f.mode = *it.Mode
		}
		var value string
		var err error
		switch {
		case it.FieldRef != nil:
			value, err = m.src.Field(m.pod, it.FieldRef.FieldPath)
		case it.ResourceFieldRef != nil:
			value, err = m.src.Resource(m.pod, it.ResourceFieldRef)
		}
		if err != nil {
			return err
		}
		f.data = []byte(value)
		p[path.Clean(it.Path)] = f
	}
	return nil
}
