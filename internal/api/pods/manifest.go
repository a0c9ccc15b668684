package pods

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// IsManifest reports whether a file holds one Pod and nothing else, as YAML or JSON: what a kubelet runs as a static pod.
func IsManifest(data []byte) bool {
	docs, found := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data))), 0
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return found == 1
		}
		var kind *metav1.TypeMeta // nil: a document of comments
		if err != nil || yaml.Unmarshal(doc, &kind) != nil {
			return false
		}
		if kind == nil {
			continue
		}
		if found++; kind.Kind != "Pod" || kind.APIVersion != "v1" {
			return false
		}
	}
}
