package manifests

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sampan.dev/internal/api/pods"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// most is the size of a file that is read, in bytes. A larger one is no manifest.
const most = 16 << 20

// file is one file of the folder: its path below the folder, and the objects that it holds or why they are not known.
type file struct {
	name    string
	objects []*unstructured.Unstructured
	err     error
}

// extensions are those of files that are read; all others may lie beside them.
var extensions = []string{".yaml", ".yml", ".json"}

// read reads the folder, in the order of the names. keepPods leaves the files out that hold one Pod and nothing else: they are the
// kubelet's. Each folder is shown to watch before it is read, so that no change of it falls between the two. A folder that is not
// there is an error: whoever deletes it has not said that what it held should go.
func read(dir string, keepPods bool, watch func(folder string) error) (files []file, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case path != dir && errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case path != dir && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return watch(path)
		case !slices.Contains(extensions, filepath.Ext(path)):
			return nil
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := contents(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && keepPods && pods.IsManifest(data) {
			return nil
		}
		f := file{name: name, err: err}
		if err == nil {
			f.objects, f.err = parse(data)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	return files, nil
}

func contents(path string) ([]byte, error) {
	f, err := os.Open(path) // follows links, as ConfigMap volumes have them
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s has more than %d MiB", path, most>>20)
	}
	return data, err
}

// parse returns the objects of a file. It fails as a whole: half a file would have the other half deleted.
func parse(data []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		var body map[string]any
		if err := yaml.UnmarshalStrict(doc, &body); err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		if len(body) == 0 {
			continue // only comments
		}
		more, err := objects(&unstructured.Unstructured{Object: body})
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		out = append(out, more...)
	}
}

// objects returns the items of a list, or the object itself, each with what an object needs.
func objects(u *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if u.IsList() {
		var out []*unstructured.Unstructured
		list, err := u.ToList()
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			more, err := objects(&list.Items[i])
			if err != nil {
				return nil, fmt.Errorf("items[%d]: %w", i, err)
			}
			out = append(out, more...)
		}
		return out, nil
	}
	switch {
	case u.GetAPIVersion() == "":
		return nil, errors.New("apiVersion: Required value")
	case u.GetKind() == "":
		return nil, errors.New("kind: Required value")
	case u.GetName() == "":
		return nil, fmt.Errorf("%s: metadata.name: Required value: an object of a file is found again by its name", u.GetKind())
	}
	return []*unstructured.Unstructured{u}, nil
}
