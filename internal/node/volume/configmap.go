package volume

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// configMap shows the keys of a ConfigMap.
type configMap struct{}

func (configMap) handles(v *corev1.Volume) bool { return v.ConfigMap != nil }

func (configMap) shows(v *corev1.Volume, configMap, _ func(string)) { configMap(v.ConfigMap.Name) }

func (configMap) mount(ctx context.Context, m mounting) (Mounted, error) {
	v, p := m.volume.ConfigMap, payload{}
	if err := m.addConfigMap(ctx, p, v.Name, v.Items, v.Optional, mode(v.DefaultMode)); err != nil {
		return Mounted{}, err
	}
	return m.show("configmap", false, p)
}

// addConfigMap adds the keys of a ConfigMap to p. One that is optional may be missing.
func (m mounting) addConfigMap(ctx context.Context, p payload, name string, items []corev1.KeyToPath, optional *bool, defMode int32) error {
	cm, err := m.src.ConfigMap(ctx, m.pod.Namespace, name)
	opt := optional != nil && *optional
	if apierrors.IsNotFound(err) && opt {
		return nil
	}
	if err != nil {
		return err
	}
	data := make(map[string][]byte, len(cm.Data)+len(cm.BinaryData))
	for k, v := range cm.Data {
		data[k] = []byte(v)
	}
	for k, v := range cm.BinaryData {
		data[k] = v
	}
	return p.add(data, items, opt, defMode, "configmap references non-existent config key: %s")
}
