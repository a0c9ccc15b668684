package podhost

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"sampan.dev/internal/api/volumes"

	corev1 "k8s.io/api/core/v1"
)

// OwnVolumes are the directories of the cluster's own provisioner on this node: made when a pod first has one, removed when the
// provisioner asks for it in an annotation of the node.
type OwnVolumes struct {
	Dir string // "" for none
}

// Ensure makes the directory of a volume that is the provisioner's.
func (o *OwnVolumes) Ensure(pv *corev1.PersistentVolume) error {
	if o.Dir == "" || pv.Annotations[volumes.ProvisionedBy] != volumes.LocalProvisioner || filepath.Dir(pv.Spec.Local.Path) != o.Dir {
		return nil
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	err := os.Mkdir(pv.Spec.Local.Path, 0o777)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(pv.Spec.Local.Path, 0o777) // whatever the umask is; who may write is for the pod to say
}

// Asked are the volumes that a node's annotations want removed.
func (o *OwnVolumes) Asked(node *corev1.Node) []string {
	var out []string
	for key, value := range node.Annotations {
		if name, ok := strings.CutPrefix(key, volumes.RemovePrefix); ok && value == volumes.RemoveWanted && name != "" && name == filepath.Base(name) && name != ".." && name != "." {
			out = append(out, name)
		}
	}
	return out
}

// Announced adds to a node's annotations where the provisioner's directories are.
func (o *OwnVolumes) Announced(annotations map[string]string) map[string]string {
	if o.Dir == "" {
		return annotations
	}
	out := map[string]string{volumes.LocalDir: o.Dir}
	for key, value := range annotations {
		out[key] = value
	}
	return out
}

// Remove removes the directory of a volume; it is no error that there is none.
func (o *OwnVolumes) Remove(name string) error { return os.RemoveAll(filepath.Join(o.Dir, name)) }
