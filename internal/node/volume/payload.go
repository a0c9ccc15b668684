package volume

import (
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"
)

// file is one file to show. uid is its owner, nil for root.
type file struct {
	data []byte
	mode int32
	uid  *int64
}

// payload is what a volume shows, by path below it.
type payload map[string]file

// add puts the keys of an object into the payload: all of them, or those that items choose.
func (p payload) add(data map[string][]byte, items []corev1.KeyToPath, opt bool, defMode int32, missing string) error {
	if len(items) == 0 {
		for k, v := range data {
			p[k] = file{data: v, mode: defMode}
		}
		return nil
	}
	for _, it := range items {
		v, ok := data[it.Key]
		if !ok {
			if opt {
				continue
			}
			return fmt.Errorf(missing, it.Key)
		}
		f := file{data: v, mode: defMode}
		if it.Mode != nil {
			f.mode = *it.Mode
		}
		p[path.Clean(it.Path)] = f
	}
	return nil
}

// mode is that of files for which a volume says nothing else.
func mode(m *int32) int32 {
	if m == nil {
		return 0o644
	}
	return *m
}
