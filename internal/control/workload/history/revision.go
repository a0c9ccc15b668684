package history

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/rand"
)

// HashLabel is the label that a StatefulSet's revisions carry their hash in.
const HashLabel = "controller.kubernetes.io/hash"

// prefixMost is how much of an owner's name is part of its revisions' names, so that the hash has room behind it.
const prefixMost = 223

// Patch is the data of a revision: the strategic merge patch, as JSON, that puts a template in place of another one. The way
// through a map sorts the fields, as upstream's data has them.
func Patch(t *corev1.PodTemplateSpec) ([]byte, error) {
	encoded, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	var template map[string]any
	if err := json.Unmarshal(encoded, &template); err != nil {
		return nil, err
	}
	template["$patch"] = "replace"
	return json.Marshal(map[string]any{"spec": map[string]any{"template": template}})
}

// Template reads the template out of a revision's data. It fails where that is anything but what Patch made.
func Template(data []byte) (*corev1.PodTemplateSpec, error) {
	var patch struct {
		Spec struct {
			Template struct {
				corev1.PodTemplateSpec
				Patch string `json:"$patch"`
			} `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, fmt.Errorf("data of revision: %w", err)
	}
	if patch.Spec.Template.Patch != "replace" {
		return nil, fmt.Errorf("data of revision: no template that replaces another")
	}
	return &patch.Spec.Template.PodTemplateSpec, nil
}

// Hash is the hash of a revision's data (history.HashControllerRevision). collisions is how often its name was taken already;
// nil is another hash than 0.
func Hash(data []byte, collisions *int32) string {
	h := fnv.New32()
	h.Write(data)
	if collisions != nil {
		h.Write(strconv.AppendInt(nil, int64(*collisions), 10))
	}
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}

// Name of the revision of an owner with a hash.
func Name(owner, hash string) string {
	if len(owner) > prefixMost {
		owner = owner[:prefixMost]
	}
	return owner + "-" + hash
}

// Sort brings revisions into their order, the oldest first: by number, of equals by age and name.
func Sort(revisions []*appsv1.ControllerRevision) {
	slices.SortStableFunc(revisions, func(a, b *appsv1.ControllerRevision) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

// Newest is the highest number among revisions, 0 where there are none.
func Newest(revisions []*appsv1.ControllerRevision) int64 {
	most := int64(0)
	for _, r := range revisions {
		most = max(most, r.Revision)
	}
	return most
}

// Holds reports whether a revision has this data.
func Holds(r *appsv1.ControllerRevision, data []byte) bool { return bytes.Equal(r.Data.Raw, data) }
