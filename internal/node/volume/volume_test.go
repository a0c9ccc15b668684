package volume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// source is a Sources over maps.
type source struct {
	cms    map[string]*corev1.ConfigMap
	tokens int
	life   time.Duration
}

func (s *source) sources() Sources {
	return Sources{
		ConfigMap: func(_ context.Context, _, name string) (*corev1.ConfigMap, error) {
			if cm := s.cms[name]; cm != nil {
				return cm, nil
			}
			return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmap"}, name)
		},
		Token: func(context.Context, *corev1.Pod, *authv1.TokenRequest) (*authv1.TokenRequest, error) {
			s.tokens++
			return &authv1.TokenRequest{Status: authv1.TokenRequestStatus{Token: fmt.Sprint("token", s.tokens), ExpirationTimestamp: metav1.NewTime(time.Now().Add(s.life))}}, nil
		},
		Field: func(pod *corev1.Pod, path string) (string, error) { return path + "=" + pod.Name, nil },
	}
}

func pod(v ...corev1.Volume) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}}
	p.Spec.Volumes = v
	return p
}

// tree prints what people see in a volume: name, mode and content, links followed.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	var walk func(rel string)
	walk = func(rel string) {
		entries, err := os.ReadDir(filepath.Join(dir, rel))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := filepath.Join(rel, e.Name())
			if strings.HasPrefix(e.Name(), "..") {
				continue
			}
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				out = append(out, name+" dangles")
				continue
			}
			if info.IsDir() {
				walk(name)
				continue
			}
			b, _ := os.ReadFile(filepath.Join(dir, name))
			out = append(out, fmt.Sprintf("%s %v %s", name, info.Mode(), b))
		}
	}
	walk("")
	return strings.Join(out, "; ")
}

func TestConfigMapVolume(t *testing.T) {
	src := &source{cms: map[string]*corev1.ConfigMap{"cm": {Data: map[string]string{"a": "1", "b": "2"}, BinaryData: map[string][]byte{"c": {'3'}}}}}
	m := New(t.TempDir(), src.sources())
	mode := int32(0o400)
	p := pod(corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}})
	check := func(want string) {
		t.Helper()
		got, err := m.Mount(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if s := tree(t, got["v"].Path); s != want {
			t.Errorf("got  %s\nwant %s", s, want)
		}
	}
	check("a -rw-r--r-- 1; b -rw-r--r-- 2; c -rw-r--r-- 3")
	dir := mounting{pods: m.pods, pod: p, volume: &p.Spec.Volumes[0]}.dir("configmap")
	before, _ := os.Readlink(filepath.Join(dir, dataLink))
	check("a -rw-r--r-- 1; b -rw-r--r-- 2; c -rw-r--r-- 3")
	if after, _ := os.Readlink(filepath.Join(dir, dataLink)); after != before {
		t.Error("an unchanged volume was written again")
	}
	src.cms["cm"] = &corev1.ConfigMap{Data: map[string]string{"a": "new"}}
	check("a -rw-r--r-- new")
	if entries, _ := os.ReadDir(dir); len(entries) != 3 { // a, ..data, ..<time>
		t.Errorf("left behind: %v", entries)
	}
	p.Spec.Volumes[0].ConfigMap.Items = []corev1.KeyToPath{{Key: "a", Path: "deep/er/x", Mode: &mode}}
	check("deep/er/x -r-------- new")

	p.Spec.Volumes[0].ConfigMap.Items = []corev1.KeyToPath{{Key: "no", Path: "x"}}
	if _, err := m.Mount(t.Context(), p); err == nil || err.Error() != `MountVolume.SetUp failed for volume "v" : configmap references non-existent config key: no` {
		t.Error(err)
	}
	yes := true
	p.Spec.Volumes[0].ConfigMap.Optional = &yes
	check("")
	p.Spec.Volumes[0].ConfigMap.Name = "none"
	check("")
	p.Spec.Volumes[0].ConfigMap.Optional = nil
	if _, err := m.Mount(t.Context(), p); err == nil || err.Error() != `MountVolume.SetUp failed for volume "v" : configmap "none" not found` {
		t.Error(err)
	}
	if err := m.Unmount(p.UID); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("volume left", err)
	}
}

func TestPathsStayInside(t *testing.T) {
	for _, name := range []string{"../x", "/x", "..x", "a/../../x"} {
		if err := write(t.TempDir(), payload{name: {}}, nil); err == nil {
			t.Errorf("%q was written", name)
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for mounts")
	}
}

func TestProjectedTokenIsRenewed(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		src := &source{life: time.Hour, cms: map[string]*corev1.ConfigMap{"ca": {Data: map[string]string{"ca.crt": "root"}}}}
		m := New(dir, src.sources())
		p := pod(corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "ca"}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "ns", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}},
		}}}})
		defer m.Unmount(p.UID)
		for _, want := range []string{
			"ca.crt -rw-r--r-- root; ns -rw-r--r-- metadata.name=p; token -rw-r--r-- token1",
			"ca.crt -rw-r--r-- root; ns -rw-r--r-- metadata.name=p; token -rw-r--r-- token1",
			"ca.crt -rw-r--r-- root; ns -rw-r--r-- metadata.name=p; token -rw-r--r-- token2",
		} {
			got, err := m.Mount(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if s := tree(t, got["v"].Path); s != want {
				t.Errorf("got  %s\nwant %s", s, want)
			}
			if at, ok := m.Refresh(p.UID); !ok || time.Until(at) > 48*time.Minute || time.Until(at) <= 0 {
				t.Errorf("renewal in %v", time.Until(at))
			}
			time.Sleep(25 * time.Minute)
		}
	})
}

func TestEmptyDir(t *testing.T) {
	needRoot(t)
	m := New(t.TempDir(), (&source{}).sources())
	gid := int64(4711)
	p := pod(corev1.Volume{Name: "d", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		corev1.Volume{Name: "m", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}})
	p.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &gid}
	got, err := m.Mount(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range got {
		info, err := os.Stat(v.Path)
		if err != nil || info.Mode() != os.ModeDir|os.ModeSetgid|0o777 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
		if err := os.WriteFile(filepath.Join(v.Path, "f"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := m.Mount(t.Context(), p); err != nil || again["m"] != got["m"] {
		t.Fatal(again, err)
	}
	if _, err := os.Stat(filepath.Join(got["m"].Path, "f")); err != nil {
		t.Error("a second mount hid the contents", err)
	}
	if err := m.Unmount(p.UID); err != nil {
		t.Fatal(err)
	}
}

func TestHostPathTypes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	os.WriteFile(file, nil, 0o600)
	for _, c := range []struct {
		path, typ, want string
	}{
		{dir, "", ""}, {dir, "Directory", ""}, {file, "File", ""}, {file, "FileOrCreate", ""},
		{filepath.Join(dir, "new"), "DirectoryOrCreate", ""}, {filepath.Join(dir, "newf"), "FileOrCreate", ""},
		{file, "Directory", "hostPath type check failed: " + file + " is not a directory"},
		{dir, "File", "hostPath type check failed: " + dir + " is not a file"},
		{file, "Socket", "hostPath type check failed: " + file + " is not a socket file"},
		{"/dev/null", "CharDevice", ""}, {"/dev/null", "BlockDevice", "hostPath type check failed: /dev/null is not a block device"},
	} {
		typ := corev1.HostPathType(c.typ)
		got := ""
		if err := checkHostPath(&corev1.HostPathVolumeSource{Path: c.path, Type: &typ}); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s %s: %q, want %q", c.path, c.typ, got, c.want)
		}
	}
}

func TestSubpath(t *testing.T) {
	needRoot(t)
	pods := t.TempDir()
	m := New(pods, Sources{})
	root := t.TempDir()
	os.Chmod(root, 0o777)
	os.MkdirAll(filepath.Join(root, "in"), 0o755)
	os.WriteFile(filepath.Join(root, "in", "f"), []byte("inside"), 0o644)
	os.Symlink("in/f", filepath.Join(root, "good"))
	os.Symlink("/etc", filepath.Join(root, "abs"))
	os.Symlink("../..", filepath.Join(root, "up"))
	defer func() {
		if err := m.Unmount("u"); err != nil {
			t.Error(err)
		}
	}()
	for i, c := range []struct {
		sub string
		ok  bool
	}{{"in", true}, {"in/f", true}, {"good", true}, {"made/deep", true}, {"abs", false}, {"abs/passwd", false}, {"up", false}, {"up/x", false}, {"../x", false}, {"/etc", false}} {
		path, err := m.Subpath("u", "v", "c", i, root, c.sub)
		if (err == nil) != c.ok {
			t.Errorf("%s: %s, %v", c.sub, path, err)
		}
	}
	b, err := os.ReadFile(filepath.Join(pods, "u", "volume-subpaths", "v", "c", "2"))
	if string(b) != "inside" {
		t.Errorf("link led to %q, %v", b, err)
	}
	if info, err := os.Stat(filepath.Join(root, "made/deep")); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("made %v, %v", info.Mode(), err)
	}
	// What is swapped for a link after it was resolved does not matter: the bind mount holds the directory itself.
	os.Rename(filepath.Join(root, "in"), filepath.Join(root, "was"))
	os.Symlink("/etc", filepath.Join(root, "in"))
	if _, err := os.Stat(filepath.Join(pods, "u", "volume-subpaths", "v", "c", "0", "passwd")); err == nil {
		t.Error("escaped")
	}
}
