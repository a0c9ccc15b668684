package checkpoint

import (
	"errors"
	"hash/fnv"
	"strings"

	"k8s.io/utils/dump"
)

// Checksum of a checkpoint.
type Checksum uint64

// ErrCorrupt says that a checksum does not fit what it stands beside.
var ErrCorrupt = errors.New("checkpoint is corrupted")

// Sum is the checksum of v. What is hashed is a print of v that names its Go types, so these must go by upstream's names: names are
// pairs of a type's own name and the one to print, both with their package ("cpus.legacy", "state.CPUManagerCheckpoint").
func Sum(v any, names ...string) Checksum {
	text := dump.ForHash(v)
	if len(names) > 0 {
		text = strings.NewReplacer(append(names, "checkpoint.Checksum", "checksum.Checksum")...).Replace(text)
	}
	h := fnv.New32a()
	h.Write([]byte(text))
	return Checksum(h.Sum32())
}
