package source

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// folderRetry is how long a folder that cannot be watched is left alone before it is read again.
const folderRetry = 20 * time.Second

// Config describes the static pods of a node.
type Config struct {
	Path string // of the folder or file of manifests; "": none
	URL  string // that serves a Pod or a PodList; "": none
	// Shared says that the folder is also that of objects which are applied to the cluster: a file that holds anything but one Pod
	// is not the kubelet's.
	Shared bool
	// URLHeader is sent with every request to the URL, which is asked every URLEvery.
	URLHeader http.Header
	URLEvery  time.Duration

	Node  string
	Kind  *api.Kind // defaults and validates pods; nil: neither
	Since time.Time // when the kubelet began, for an annotation of the pods
	Log   *slog.Logger

	// Upsert is told of every static pod as its source has it now, again and again; Gone of one that no source has any longer.
	// They are called by one goroutine at a time.
	Upsert func(ctx context.Context, pod *corev1.Pod)
	Gone   func(uid types.UID)
}

// Static brings the pods that the sources describe to whoever runs them.
//
// One reading goes on at a time, under reading: each takes the folder as it is then and what the URL served last, and tells of
// every pod that it found and of those that are gone since the reading before.
type Static struct {
	cfg     Config
	adopter adopter
	set     *set
	mirrors *Mirrors
	last    []byte        // what the URL served when it was last understood; Begin's, then Run's own
	read    chan struct{} // closed when every source has been read and its pods were told of

	reading sync.Mutex // taken before the locks of the set and of the mirrors
	// Guarded by reading.
	served []*corev1.Pod // the pods of the URL's last answer
	asked  bool          // there was such an answer, or there is no URL
	told   bool          // read is closed
}

// New makes the static pods of a node; nothing is read before Begin. mirrors says how they are shown in the hub.
func New(cfg Config, mirrors Showing) *Static {
	s := &Static{cfg: cfg, adopter: adopter{node: cfg.Node, kind: cfg.Kind, seen: cfg.Since},
		set: newSet(sources{folder: cfg.Path == "", url: cfg.URL == ""}), read: make(chan struct{}), asked: cfg.URL == ""}
	s.mirrors = newMirrors(mirrors, s.set)
	s.announce()
	return s
}

// Mirrors are the mirror pods of these static pods.
func (s *Static) Mirrors() *Mirrors { return s.mirrors }

// Any reports whether there is a source, so that there is something to begin and run.
func (s *Static) Any() bool { return s.cfg.Path != "" || s.cfg.URL != "" }

// Read is closed when every source has been read once and Upsert was told of its pods. What is not a static pod by then is none.
func (s *Static) Read() <-chan struct{} { return s.read }

// Begin reads every source once.
func (s *Static) Begin(ctx context.Context) {
	if s.cfg.Path != "" {
		s.look(ctx)
	}
	if s.cfg.URL != "" {
		s.ask(ctx)
	}
}

// Run follows the sources until ctx ends: the folder by inotify, the URL by asking it every URLEvery.
func (s *Static) Run(ctx context.Context) {
	if s.cfg.URL == "" {
		s.runFolder(ctx)
		return
	}
	var folder sync.WaitGroup
	defer folder.Wait()
	if s.cfg.Path != "" {
		folder.Go(func() { s.runFolder(ctx) })
	}
	s.runURL(ctx)
}

func (s *Static) runFolder(ctx context.Context) {
	for {
		err := watchFolder(ctx, s.cfg.Path, func() { s.look(ctx) })
		if ctx.Err() != nil {
			return
		}
		s.cfg.Log.Warn("static pod folder not watched, looking again in a while", "path", s.cfg.Path, "error", err)
		s.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(folderRetry):
		}
	}
}

func (s *Static) runURL(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.cfg.URLEvery):
		}
		s.ask(ctx)
	}
}

// ask fetches the URL and takes the answer if it differs from the last. One that cannot be had or understood changes nothing.
func (s *Static) ask(ctx context.Context) {
	data, err := fetch(ctx, s.cfg.URL, s.cfg.URLHeader)
	if err == nil && bytes.Equal(data, s.last) {
		return
	}
	var list []*corev1.Pod
	if err == nil {
		list, err = s.adopter.served(s.cfg.URL, data)
	}
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Log.Warn("static pods not fetched", "url", s.cfg.URL, "error", err)
		}
		return
	}
	s.last = data
	s.reading.Lock()
	s.served, s.asked = list, true
	s.reading.Unlock()
	s.look(ctx)
}

// look reads the folder and brings the static pods into line with it and with what the URL served. A file that cannot be read or
// understood keeps the pod that it described before, so that a slip of an editor stops nothing.
func (s *Static) look(ctx context.Context) {
	s.reading.Lock()
	defer s.reading.Unlock()
	found := map[types.UID]*corev1.Pod{}
	for _, pod := range s.served {
		found[pod.UID] = pod
	}
	listed, unsure := s.readFolder(found)
	for _, uid := range s.set.replace(found, sources{folder: listed, url: s.asked}, unsure) {
		s.cfg.Gone(uid)
	}
	s.mirrors.removeStale(ctx)
	for _, pod := range found {
		s.cfg.Upsert(ctx, pod)
	}
	s.announce()
}

// announce closes read when that is due.
func (s *Static) announce() {
	if !s.told && s.set.complete() {
		s.told = true
		close(s.read)
	}
}

// readFolder adds the pods of the folder's files to found. It reports whether the folder was listed, and whether something in it
// could not be read.
func (s *Static) readFolder(found map[types.UID]*corev1.Pod) (listed, unsure bool) {
	files, err := manifestFiles(s.cfg.Path)
	if err != nil {
		s.cfg.Log.Warn("static pod folder not read", "path", s.cfg.Path, "error", err)
		return false, true
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && s.cfg.Shared && !pods.IsManifest(data) {
			continue
		}
		var pod *corev1.Pod
		if err == nil {
			pod, err = s.adopter.file(path, data)
		}
		if err != nil {
			unsure = true
			s.cfg.Log.Warn("static pod not read", "path", path, "error", err)
			continue
		}
		found[pod.UID] = pod
	}
	return true, unsure
}
