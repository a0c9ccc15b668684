//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestImageImport gives a node archives with names of every sort and none: what the command prints is what pods can name.
func TestImageImport(t *testing.T) {
	c := start(t)
	image := filepath.Join(c.bin, "pause.tar")
	const refName = "org.opencontainers.image.ref.name"
	for _, test := range []struct {
		name   string
		change func(entry map[string]any) // of the layout's index
		want   string                     // what the first word of the output matches
		fail   string
	}{
		{"no name", func(e map[string]any) { delete(e, "annotations") }, `^localhost/import@sha256:[0-9a-f]{64}$`, ""},
		{"a tag", func(e map[string]any) { e["annotations"] = map[string]string{refName: "v7"} }, `^localhost/import:v7$`, ""},
		{"a whole name for a tag", func(e map[string]any) { e["annotations"] = map[string]string{refName: "example.com/team/app:v2"} }, `^example.com/team/app:v2$`, ""},
		{"a short name for a tag", func(e map[string]any) { e["annotations"] = map[string]string{refName: "app:v2"} }, `^docker.io/library/app:v2$`, ""},
		{"containerd's name", func(e map[string]any) {
			e["annotations"] = map[string]string{"io.containerd.image.name": "example.com/a:1", refName: "1"}
		}, `^example.com/a:1$`, ""},
		{"another machine's", func(e map[string]any) { e["platform"] = map[string]string{"os": "linux", "architecture": "s390x"} }, "", "the archive holds no image for linux/"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "image.tar")
			if err := os.WriteFile(file, rewritten(t, image, test.change), 0o600); err != nil {
				t.Fatal(err)
			}
			for i := range 2 { // the second time as the first
				out, err := c.sampan("image", "import", "--data-dir", c.dir, file)
				if test.fail != "" {
					if err == nil || !strings.Contains(out, test.fail) {
						t.Errorf("%v: %s", err, out)
					}
					continue
				}
				lines := strings.Split(strings.TrimSpace(out), "\n")
				name, digest, _ := strings.Cut(lines[0], "  ")
				if err != nil || len(lines) != 1 || !regexp.MustCompile(test.want).MatchString(name) || !strings.HasPrefix(digest, "sha256:") {
					t.Fatalf("%v: %s", err, out)
				}
				if i > 0 {
					continue
				}
				c.kubectl(t, "run", "p", "--image="+name, "--image-pull-policy=Never", "--restart=Never")
				c.kubectl(t, "wait", "pod/p", "--for=jsonpath={.status.containerStatuses[0].started}=true", "--timeout=300s")
				c.kubectl(t, "delete", "pod/p", "--grace-period=0", "--force")
			}
		})
	}
	t.Run("forms", func(t *testing.T) {
		plain, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		if _, err := z.Write(plain); err != nil {
			t.Fatal(err)
		}
		z.Close()
		write(t, filepath.Join(dir, "image.tar.gz"), zipped.String())
		layout := filepath.Join(dir, "layout")
		if err := os.Mkdir(layout, 0o755); err != nil {
			t.Fatal(err)
		}
		run(t, "tar", "-xf", image, "-C", layout)
		for _, file := range []string{filepath.Join(dir, "image.tar.gz"), layout} {
			if out, err := c.sampan("image", "import", "--data-dir", c.dir, file); err != nil || !strings.HasPrefix(out, "sampan.dev/pause:1  sha256:") {
				t.Errorf("%s: %v: %s", file, err, out)
			}
		}
		write(t, filepath.Join(dir, "garbage"), strings.Repeat("no archive", 1000))
		for _, file := range []string{filepath.Join(dir, "garbage"), dir, "/dev/null", filepath.Join(dir, "absent")} {
			if out, err := c.sampan("image", "import", "--data-dir", c.dir, file); err == nil {
				t.Errorf("%s: imported: %s", file, out)
			}
		}
	})
}

// rewritten is an OCI layout in a tar whose only entry has been changed.
func rewritten(t *testing.T, file string, change func(map[string]any)) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		data, err2 := io.ReadAll(r)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if h.Name == "index.json" {
			var index map[string]any
			if err := json.Unmarshal(data, &index); err != nil {
				t.Fatal(err)
			}
			change(index["manifests"].([]any)[0].(map[string]any))
			if data, err = json.Marshal(index); err != nil {
				t.Fatal(err)
			}
			h.Size = int64(len(data))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
