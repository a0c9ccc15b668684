package source

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// set is the static pods of the node by UID. Static fills it; every goroutine may ask.
//
// Until all sources have been read (complete), nothing is known to be gone: neither a pod that runs nor one that is mirrored.
type set struct {
	mu struct {
		sync.Mutex
		pods map[types.UID]*corev1.Pod
		read sources
	}
}

// sources are those of static pods that have been read at least once, or need not be.
type sources struct{ folder, url bool }

func newSet(read sources) *set {
	s := &set{}
	s.mu.pods, s.mu.read = map[types.UID]*corev1.Pod{}, read
	return s
}

// complete reports whether every source has been read.
func (s *set) complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.read.folder && s.mu.read.url
}

// named returns the static pod of a name, nil when there is none.
func (s *set) named(namespace, name string) *corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	return named(s.mu.pods, namespace, name)
}

func named(pods map[types.UID]*corev1.Pod, namespace, name string) *corev1.Pod {
	for _, p := range pods {
		if p.Name == name && p.Namespace == namespace {
			return p
		}
	}
	return nil
}

// replace puts the pods that a reading has found in the place of those there were, and returns the pods that are gone. read are
// the sources that were read. When a manifest could not be read (unsure), a pod that was not found may be the one that it
// describes: it stays, and is added to found, unless another of its name was found.
func (s *set) replace(found map[types.UID]*corev1.Pod, read sources, unsure bool) (gone []types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid, pod := range s.mu.pods {
		switch {
		case found[uid] != nil:
		case unsure && named(found, pod.Namespace, pod.Name) == nil:
			found[uid] = pod
		default:
			gone = append(gone, uid)
		}
	}
	s.mu.pods = found
	s.mu.read.folder, s.mu.read.url = s.mu.read.folder || read.folder, s.mu.read.url || read.url
	return gone
}
