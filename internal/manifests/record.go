package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"sampan.dev/internal/pattern"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// Where the record is.
const (
	Namespace = metav1.NamespaceSystem
	Name      = "sampan-manifests"
)

// ID names one object of the cluster.
type ID struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

// String is how messages name the object: "Deployment default/web".
func (id ID) String() string {
	if id.Namespace == "" {
		return id.Kind + " " + id.Name
	}
	return id.Kind + " " + id.Namespace + "/" + id.Name
}

func (id ID) gvk() schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(id.APIVersion, id.Kind)
}

// same is what two IDs of one object have in common, though a file may have moved to another version of its kind.
func (id ID) same() ID {
	id.APIVersion = id.gvk().Group
	return id
}

// Entry is what the record says of one file.
type Entry struct {
	File    string   `json:"file"` // its path below the folder
	Objects []ID     `json:"objects,omitempty"`
	Errors  []string `json:"errors,omitempty"`
}

// Entries decodes the record, in the order of the files. What is not understood is an error, and nothing is deleted because of it.
func Entries(m *corev1.ConfigMap) ([]Entry, error) {
	if m == nil {
		return nil, nil
	}
	var out []Entry
	for key, text := range m.Data {
		var e Entry
		if err := yaml.UnmarshalStrict([]byte(text), &e); err != nil {
			return nil, fmt.Errorf("ConfigMap %s/%s, key %s: %w", Namespace, Name, key, err)
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return compare(a.File, b.File) })
	return out, nil
}

// encode is the inverse of Entries.
func encode(entries []Entry) (map[string]string, error) {
	data := make(map[string]string, len(entries))
	for _, e := range entries {
		text, err := yaml.Marshal(e)
		if err != nil {
			return nil, err
		}
		data[key(e.File)] = string(text)
	}
	return data, nil
}

var notInKeys = pattern.New(`[^-._a-zA-Z0-9]`)

// key is a key of a ConfigMap for a file. Names that keys cannot have are told apart by a hash.
func key(file string) string {
	k := notInKeys.ReplaceAllString(file, "_")
	if k == file && len(k) < 200 {
		return k
	}
	sum := sha256.Sum256([]byte(file))
	return k[:min(len(k), 150)] + "-" + hex.EncodeToString(sum[:4])
}
