package apply

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"sampan.dev/internal/hub/price"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// maxCopied is how many bytes the copy operations of one JSON patch may add, as upstream allows.
const maxCopied = 3 << 20

// limitCopies sets the library's bound, which is the process's.
var limitCopies = sync.OnceFunc(func() { jsonpatch.AccumulatedCopySizeLimit = maxCopied })

// maxSteps bounds the work of one patch where it grows with the product of two lengths: elements moved in memory by a JSON
// patch that inserts and removes, elements compared by a strategic merge.
const (
	maxMoved    = 128 << 20
	maxCompared = 5_000_000
)

// affordable refuses a patch that would cost too much to read.
func affordable(t target, pt types.PatchType, data []byte) error {
	var err error
	switch pt {
	case types.ApplyYAMLPatchType:
		err = price.YAML(data, nil) // its quantities are looked at when it has been read
	case types.MergePatchType, types.StrategicMergePatchType:
		into, eerr := t.empty()
		if eerr != nil {
			return eerr
		}
		err = price.JSON(data, into)
	default:
		err = price.JSON(data, nil)
	}
	if err != nil {
		return priced(err, string(data))
	}
	return nil
}

// priced makes the answer to a document that a patch would have made and that costs too much to decode.
func priced(err error, doc string) error {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return err
	}
	return invalid(doc, err)
}

// moves bounds the elements that a JSON patch makes the library move: each insertion into a list and each removal copies it.
func moves(patch jsonpatch.Patch, doc []byte) error {
	const few = 100
	if len(patch) < few {
		return nil
	}
	longest := int64(price.LongestList(doc) + len(patch))
	at := int64(0)
	for _, op := range patch {
		for _, place := range []func() (string, error){op.Path, op.From} {
			if path, err := place(); err == nil && endsInIndex(path) {
				at++
			}
		}
	}
	if at*longest > maxMoved {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"the patch changes lists of up to %d elements in %d places; at most %d elements may be moved", longest, at, maxMoved))
	}
	return nil
}

func endsInIndex(path string) bool {
	last := path[strings.LastIndexByte(path, '/')+1:]
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// compares bounds the pairs of elements that a strategic merge compares: it looks for each element of the patch's list in the
// object's.
func compares(doc, patch map[string]any, into any) error {
	longest := longestIn(doc)
	total := 0
	countMerged(patch, reflect.TypeOf(into), longest, &total)
	if total > maxCompared {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"the patch merges lists with up to %d elements; at most %d pairs may be compared", longest, maxCompared))
	}
	return nil
}

func longestIn(v any) int {
	most := 0
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			most = max(most, longestIn(inner))
		}
	case []any:
		most = len(v)
		for _, inner := range v {
			most = max(most, longestIn(inner))
		}
	}
	return most
}

// countMerged adds up what the lists of a patch that are merged, or that say how to merge, cost.
func countMerged(v any, t reflect.Type, longest int, total *int) {
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice) {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct || *total > maxCompared {
		return
	}
	switch v := v.(type) {
	case []any:
		for _, inner := range v {
			countMerged(inner, t, longest, total)
		}
	case map[string]any:
		for key, inner := range v {
			field, found := price.Member(t, key)
			list, _ := inner.([]any)
			if strings.HasPrefix(key, "$") || found && field.Merges {
				*total += len(list) * (len(list) + longest)
			}
			if found {
				countMerged(inner, field.Type, longest, total)
			}
		}
	}
}
