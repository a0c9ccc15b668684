package static

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/admissionregistration"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	admissionv1alpha1 "k8s.io/api/admissionregistration/v1alpha1"
	admissionv1beta1 "k8s.io/api/admissionregistration/v1beta1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// kindsOf are the kinds that each plugin reads, policies before their bindings.
func kindsOf(plugin string) []*api.Kind {
	switch plugin {
	case "MutatingAdmissionWebhook":
		return []*api.Kind{admissionregistration.MutatingWebhookConfigurations()}
	case "ValidatingAdmissionWebhook":
		return []*api.Kind{admissionregistration.ValidatingWebhookConfigurations()}
	case "MutatingAdmissionPolicy":
		return []*api.Kind{admissionregistration.MutatingAdmissionPolicies(), admissionregistration.MutatingAdmissionPolicyBindings()}
	}
	return []*api.Kind{admissionregistration.ValidatingAdmissionPolicies(), admissionregistration.ValidatingAdmissionPolicyBindings()}
}

// decoder reads objects of the group's versions and lists, strictly.
var decoder = sync.OnceValue(func() runtime.Decoder {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{admissionv1.AddToScheme, admissionv1beta1.AddToScheme, admissionv1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // two types under one name: cannot happen
		}
	}
	s.AddUnversionedTypes(metav1.SchemeGroupVersion, &metav1.List{}, &metav1.Status{})
	return serializer.NewCodecFactory(s, serializer.EnableStrict).UniversalDeserializer()
})

// document is one YAML or JSON document of a file.
type document struct {
	file string
	text []byte
}

// documents reads the files of a folder, in the order of their names. hash tells contents apart; it is "" where there are none.
func documents(dir string) (docs []document, hash string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, "", fmt.Errorf("failed to read manifest directory %q: %w", dir, err)
	}
	sum, some := sha256.New(), false
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if e.IsDir() || ext != ".yaml" && ext != ".yml" && ext != ".json" {
			continue
		}
		file := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, "", fmt.Errorf("failed to read file %q: %w", file, err)
		}
		if len(data) == 0 {
			continue
		}
		sum.Write(append(data, 0))
		some = true
		parts := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
		for {
			text, err := parts.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, "", fmt.Errorf("failed to split YAML documents in file %q: %w", file, err)
			}
			if text = bytes.TrimSpace(text); len(text) > 0 {
				docs = append(docs, document{file, bytes.Clone(text)})
			}
		}
	}
	if some {
		hash = fmt.Sprintf("sha256:%x", sum.Sum(nil))
	}
	return docs, hash, nil
}

// folder gathers the objects of a folder: a list for each kind.
type folder struct {
	kinds []*api.Kind
	lists [][]api.Object
	seen  []map[string]string // by kind, from names to files
}

// load reads the manifests of a folder: defaulted, valid, by kind and in the order of their names. Its errors are upstream's.
func load(dir string, kinds []*api.Kind) ([][]api.Object, string, error) {
	docs, hash, err := documents(dir)
	if err != nil {
		return nil, "", err
	}
	f := folder{kinds: kinds, lists: make([][]api.Object, len(kinds)), seen: make([]map[string]string, len(kinds))}
	for i := range f.seen {
		f.seen[i] = map[string]string{}
	}
	for _, d := range docs {
		if err := f.document(d.file, d.text); err != nil {
			return nil, "", fmt.Errorf("error loading %s: %w", d.file, err)
		}
	}
	if len(kinds) == 2 {
		if err := bound(f.seen[0], f.lists[1]); err != nil {
			return nil, "", err
		}
	}
	for _, l := range f.lists {
		slices.SortFunc(l, func(a, b api.Object) int { return cmp.Compare(a.GetName(), b.GetName()) })
	}
	return f.lists, hash, nil
}

func (f *folder) document(file string, text []byte) error {
	obj, _, err := decoder().Decode(text, nil, nil)
	if err != nil {
		return err
	}
	return f.add(file, obj)
}

// add takes an object, the objects of a kind's list, or those of a List of anything.
func (f *folder) add(file string, obj runtime.Object) error {
	if l, ok := obj.(*metav1.List); ok {
		for _, item := range l.Items {
			o, _, err := decoder().Decode(item.Raw, nil, nil)
			if err != nil {
				return fmt.Errorf("failed to decode list item: %w", err)
			}
			if err := f.add(file, o); err != nil {
				return err
			}
		}
		return nil
	}
	for i, k := range f.kinds {
		switch reflect.TypeOf(obj) {
		case reflect.TypeOf(k.New()):
			return f.take(i, file, obj.(api.Object))
		case reflect.TypeOf(k.NewList()):
			items, err := meta.ExtractList(obj)
			if err != nil {
				return err
			}
			objects := make([]api.Object, len(items))
			for j, o := range items {
				objects[j] = o.(api.Object)
			}
			return f.take(i, file, objects...)
		}
	}
	return fmt.Errorf("unsupported resource type %T", obj)
}

// take defaults and checks objects of one kind; names come after what else is wrong with all of them.
func (f *folder) take(kind int, file string, objects ...api.Object) error {
	k := f.kinds[kind]
	for _, o := range objects {
		k.Default(o)
		if errs := admissionregistration.CheckManifest(o); len(errs) > 0 {
			return fmt.Errorf("%s %q: %w", k.Kind, o.GetName(), errs.ToAggregate())
		}
	}
	for _, o := range objects {
		if err := named(o.GetName(), file, f.seen[kind]); err != nil {
			return err
		}
		if err := fits(o, file); err != nil {
			return err
		}
	}
	f.lists[kind] = append(f.lists[kind], objects...)
	return nil
}
