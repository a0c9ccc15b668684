package volume

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// sample is a volume of one kind, for the suite.
type sample struct {
	volume func(t *testing.T) corev1.VolumeSource
	memory bool   // it is mounted, which needs root
	apart  bool   // it is not below the pod's directory
	absent bool   // nothing is made of it
	server bool   // it needs a server that tests do not have
	tree   string // what people see in it
	writes bool   // containers may write to it
}

func object(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }

// samples has one for each plugin, by the plugin's type.
var samples = map[string]sample{
	"emptyDir": {volume: func(*testing.T) corev1.VolumeSource {
		return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	}, writes: true},
	"hostPath": {volume: func(t *testing.T) corev1.VolumeSource {
		return corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: t.TempDir()}}
	}, apart: true, writes: true},
	"configMap": {volume: func(*testing.T) corev1.VolumeSource {
		return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: object("o")}}
	}, tree: "k -rw-r--r-- v"},
	"secret": {volume: func(*testing.T) corev1.VolumeSource {
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "o"}}
	}, memory: true, tree: "k -rw-r--r-- v"},
	"downwardAPI": {volume: func(*testing.T) corev1.VolumeSource {
		return corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "a/f", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}},
			{Path: "r", ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}},
		}}}
	}, memory: true, tree: "a/f -rw-r--r-- metadata.name; r -rw-r--r-- limits.cpu"},
	"projected": {volume: func(*testing.T) corev1.VolumeSource {
		return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: object("o"), Items: []corev1.KeyToPath{{Key: "k", Path: "c"}}}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: object("o"), Items: []corev1.KeyToPath{{Key: "k", Path: "s"}}}},
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}},
		}}}
	}, memory: true, tree: "c -rw-r--r-- v; s -rw-r--r-- v; t -rw-r--r-- token"},
	"image": {volume: func(*testing.T) corev1.VolumeSource {
		return corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "i"}}
	}, absent: true},
	"claim": {volume: func(*testing.T) corev1.VolumeSource {
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}
	}, memory: true, writes: true},
	"nfs": {volume: func(*testing.T) corev1.VolumeSource {
		return corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "192.0.2.1", Path: "/"}}
	}, server: true},
	"driven": {volume: func(*testing.T) corev1.VolumeSource {
		return corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "d.example.com"}}
	}, server: true},
}

// watched are the sources of volumes, which note what is read and can be emptied.
type watched struct {
	read   map[string]bool // "configmap o"
	tokens int
	empty  bool
	disk   string // directory of the claim's volume
}

func (w *watched) object(kind, name string) error {
	w.read[kind+" "+name] = true
	if w.empty {
		return apierrors.NewNotFound(schema.GroupResource{Resource: kind}, name)
	}
	return nil
}

func (w *watched) sources() Sources {
	return Sources{
		ConfigMap: func(_ context.Context, _, name string) (*corev1.ConfigMap, error) {
			return &corev1.ConfigMap{Data: map[string]string{"k": "v"}}, w.object("configmap", name)
		},
		Secret: func(_ context.Context, _, name string) (*corev1.Secret, error) {
			return &corev1.Secret{Data: map[string][]byte{"k": []byte("v")}}, w.object("secret", name)
		},
		Token: func(context.Context, *corev1.Pod, *authv1.TokenRequest) (*authv1.TokenRequest, error) {
			w.tokens++
			return &authv1.TokenRequest{Status: authv1.TokenRequestStatus{Token: "token", ExpirationTimestamp: metav1.NewTime(time.Now().Add(time.Hour))}}, nil
		},
		Field:    func(_ *corev1.Pod, path string) (string, error) { return path, nil },
		Resource: func(_ *corev1.Pod, ref *corev1.ResourceFieldSelector) (string, error) { return ref.Resource, nil },
		Claim: func(_ context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
			return boundClaim(namespace, name), nil
		},
		Volume: func(context.Context, string) (*corev1.PersistentVolume, error) { return localVolume(w.disk), nil },
		Node:   func() *corev1.Node { return &corev1.Node{} },
	}
}

// TestPlugins is what every plugin has to satisfy: a plugin without a sample fails.
func TestPlugins(t *testing.T) {
	for _, p := range plugins {
		name := strings.TrimPrefix(fmt.Sprintf("%T", p), "volume.")
		s, ok := samples[name]
		if !ok {
			t.Errorf("%s has no sample", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			if s.memory {
				needRoot(t)
			}
			conform(t, p, s)
		})
	}
	if len(samples) != len(plugins) {
		t.Errorf("%d samples of %d plugins", len(samples), len(plugins))
	}
}

func conform(t *testing.T, p plugin, s sample) {
	dir, src := t.TempDir(), &watched{read: map[string]bool{}, disk: t.TempDir()}
	m := New(dir, src.sources())
	v := corev1.Volume{Name: "v", VolumeSource: s.volume(t)}
	pod := pod(v)
	pod.Spec.Volumes[0] = v
	pod.Spec.Containers = []corev1.Container{{Name: "c", VolumeMounts: []corev1.VolumeMount{{Name: "v"}}}}
	t.Cleanup(func() { m.Unmount(pod.UID) })

	claims := 0
	for _, other := range plugins {
		if other.handles(&v) {
			claims++
		}
	}
	if claims != 1 || !p.handles(&v) {
		t.Fatalf("%d plugins handle the volume", claims)
	}
	if p.handles(&corev1.Volume{Name: "none"}) {
		t.Error("a volume of no kind is handled")
	}

	if s.server {
		t.Skip("its server is not here")
	}
	mount := func(m *Manager) string {
		t.Helper()
		got, err := m.Mount(t.Context(), pod)
		if err != nil {
			t.Fatal(err)
		}
		return got["v"].Path
	}
	path := mount(m)
	if s.absent {
		if path != "" {
			t.Errorf("made %s", path)
		}
		return
	}
	if below := strings.HasPrefix(path, filepath.Join(dir, "u")+"/"); below == s.apart {
		t.Errorf("%s is at the wrong place", path)
	}
	if got := tree(t, path); got != s.tree {
		t.Errorf("got  %s\nwant %s", got, s.tree)
	}

	// What is shown is what is watched.
	shown := map[string]bool{}
	Refs(pod, func(name string) { shown["configmap "+name] = true }, func(name string) { shown["secret "+name] = true })
	if !maps.Equal(shown, src.read) {
		t.Errorf("read %v, shows %v", slices.Collect(maps.Keys(src.read)), slices.Collect(maps.Keys(shown)))
	}

	// A second look changes nothing, nor does one of the next process; what a container wrote is there.
	if s.writes {
		if err := os.WriteFile(filepath.Join(path, "own"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := stamp(t, path)
	for name, m := range map[string]*Manager{"the same": m, "the next": New(dir, src.sources())} {
		if again := mount(m); again != path || stamp(t, path) != before {
			t.Errorf("%s process made %s anew: %s, was %s", name, again, stamp(t, path), before)
		}
	}

	// Objects that are gone are an error that names the volume, and what was shown stays.
	src.empty = true
	_, err := m.Mount(t.Context(), pod)
	if fails := len(src.read) > 0; (err != nil) != fails || fails && !strings.HasPrefix(err.Error(), `MountVolume.SetUp failed for volume "v" : `) {
		t.Errorf("without its objects: %v", err)
	}
	if stamp(t, path) != before {
		t.Error("an error changed what is shown")
	}
	src.empty = false

	// Another process takes it away, twice over; what is the machine's own stays.
	for range 2 {
		if err := New(dir, src.sources()).Unmount(pod.UID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); (err == nil) != s.apart {
		t.Errorf("after unmounting: %v", err)
	}
	if mounts, err := mountsBelow(filepath.Join(dir, "u")); err != nil || len(mounts) > 0 {
		t.Errorf("still mounted: %v, %v", mounts, err)
	}
}

// stamp is what tells whether a directory was written: its entries, each with its inode's time of change.
func stamp(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(e.Name(), " ", info.ModTime().UnixNano()))
	}
	return strings.Join(out, "; ")
}
