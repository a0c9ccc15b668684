package manifests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Manager is the field manager under which objects are applied.
const Manager = "sampan-manifests"

// AnnotationFile names the file that an object is from. It is also what makes us a manager of objects that are all name: server-side
// apply forgets managers that own no field.
const AnnotationFile = "sampan.dev/manifest"

// What failed is tried again after a while, which doubles from the one to the other.
const (
	soonest = time.Second
	latest  = time.Minute
)

// Client is what the loop needs: to read and write objects, and to know which kinds there are.
type Client interface {
	client.Interface
	client.Discoverer
}

// Config says which folder is applied where.
type Config struct {
	Dir string
	// KeepPods leaves files that hold one Pod and nothing else to a kubelet that has the same folder.
	KeepPods bool
	Client   Client
	Log      *slog.Logger
}

// watcher waits for a folder to change.
type watcher interface {
	// add has a folder watched too. One that is watched already stays so.
	add(folder string) error
	// wait returns when something in them has changed, or after d where d is not 0.
	wait(d time.Duration) error
}

// Run applies the folder and follows it until ctx ends. It fails where the folder cannot be watched.
func Run(ctx context.Context, cfg Config) error {
	w, err := watchFolders(ctx)
	if err != nil {
		return err
	}
	defer w.watch.Close()
	return follow(ctx, cfg, w)
}

func follow(ctx context.Context, cfg Config, w watcher) error {
	var pause time.Duration
	for ctx.Err() == nil {
		files, err := read(cfg.Dir, cfg.KeepPods, w.add)
		clean := false
		if err == nil {
			clean, err = cfg.sync(ctx, files)
		}
		if err != nil && ctx.Err() == nil {
			cfg.Log.Warn("manifests not applied, trying again", "folder", cfg.Dir, "error", err)
		}
		if pause = min(max(2*pause, soonest), latest); clean {
			pause = 0
		}
		if err := w.wait(pause); err != nil && ctx.Err() == nil {
			return fmt.Errorf("watch %s: %w", cfg.Dir, err)
		}
	}
	return nil
}

// sync brings the cluster into line with files once. clean says that nothing is left to be tried again.
func (c *Config) sync(ctx context.Context, files []file) (clean bool, err error) {
	record, entries, err := c.load(ctx)
	if err != nil {
		return false, err
	}
	if len(files) == 0 && len(entries) == 0 {
		return true, nil
	}
	kinds, err := c.Client.Served(ctx, nil)
	if err != nil {
		return false, err
	}
	w := plan(files, entries, func(id ID) ID { return scoped(kinds, id) })
	// An object stands in the record before it is applied and until it is gone: whenever we end, it is known whose it was.
	if record, err = c.store(ctx, record, union(w.entries, entries, w.remove)); err != nil {
		return false, err
	}
	clean = true
	for _, s := range w.apply {
		if err := c.apply(ctx, kinds, w.entries[s.file].File, s); err != nil {
			clean = false
			w.entries[s.file].Errors = append(w.entries[s.file].Errors, err.Error())
			c.Log.Warn("manifest not applied", "file", w.entries[s.file].File, "object", s.id.String(), "error", err)
		}
	}
	var left []ID
	for _, id := range w.remove {
		if err := c.remove(ctx, kinds, id); err != nil {
			clean, left = false, append(left, id)
			c.Log.Warn("object of a manifest that is gone not deleted", "object", id.String(), "error", err)
		}
	}
	_, err = c.store(ctx, record, union(w.entries, entries, left))
	return clean && err == nil, err
}

// union is entries, with those objects of earlier ones that still have to be removed.
func union(entries, earlier []Entry, remove []ID) []Entry {
	out := slices.Clone(entries)
	for _, e := range earlier {
		var keep []ID
		for _, id := range e.Objects {
			if slices.Contains(remove, id) {
				keep = append(keep, id)
			}
		}
		if len(keep) == 0 {
			continue
		}
		i := slices.IndexFunc(out, func(o Entry) bool { return o.File == e.File })
		if i < 0 {
			i, out = len(out), append(out, Entry{File: e.File})
		}
		out[i].Objects = append(slices.Clone(out[i].Objects), keep...)
	}
	return out
}

// scoped fills in the namespace of an object that names none, and takes it from one that is outside of all.
func scoped(kinds *api.Kinds, id ID) ID {
	k := kinds.Kind(id.gvk())
	switch {
	case k == nil:
	case !k.Namespaced:
		id.Namespace = ""
	case id.Namespace == "":
		id.Namespace = metav1.NamespaceDefault
	}
	return id
}

// ref is where an object is found. A kind that is not served has no place.
func ref(kinds *api.Kinds, id ID) (client.Ref, error) {
	k := kinds.Kind(id.gvk())
	if k == nil {
		return client.Ref{}, fmt.Errorf("no matches for kind %q in version %q", id.Kind, id.APIVersion)
	}
	return client.Ref{Resource: k.GVR(), Namespace: id.Namespace, Name: id.Name}, nil
}

func (c *Config) apply(ctx context.Context, kinds *api.Kinds, file string, s step) error {
	at, err := ref(kinds, s.id)
	if err != nil {
		return err
	}
	o := s.object.DeepCopy()
	o.SetNamespace(s.id.Namespace)
	notes := o.GetAnnotations()
	if notes == nil {
		notes = map[string]string{}
	}
	notes[AnnotationFile] = file
	o.SetAnnotations(notes)
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	force := true
	_, err = c.Client.Patch(ctx, at, types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: Manager, Force: &force})
	return err
}

// remove deletes an object that is still ours: one that we do not manage a field of was made by somebody else since.
func (c *Config) remove(ctx context.Context, kinds *api.Kinds, id ID) error {
	at, err := ref(kinds, id)
	if err != nil {
		return nil // its kind is gone, and it with that
	}
	obj, err := c.Client.Get(ctx, at, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	o, err := meta.Accessor(obj)
	if err != nil {
		return err
	}
	ours := slices.ContainsFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Manager == Manager })
	if !ours || o.GetDeletionTimestamp() != nil {
		return nil
	}
	uid, background := o.GetUID(), metav1.DeletePropagationBackground
	err = c.Client.Delete(ctx, at, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// load reads the record; nil where there is none.
func (c *Config) load(ctx context.Context) (*corev1.ConfigMap, []Entry, error) {
	m, err := client.Get[*corev1.ConfigMap](ctx, c.Client, client.ConfigMaps, Namespace, Name)
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	entries, err := Entries(m)
	return m, entries, err
}

// store writes the record where it has changed, and removes it when there is nothing to say.
func (c *Config) store(ctx context.Context, old *corev1.ConfigMap, entries []Entry) (*corev1.ConfigMap, error) {
	data, err := encode(entries)
	switch {
	case err != nil:
		return old, err
	case old == nil && len(data) == 0, old != nil && len(data) > 0 && maps.Equal(old.Data, data):
		return old, nil
	case len(data) == 0:
		err := client.Delete(ctx, c.Client, client.ConfigMaps, Namespace, Name, old.UID)
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return nil, err
	case old == nil:
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: Name}, Data: data}
		return client.Create(ctx, c.Client, client.ConfigMaps, m)
	}
	m := old.DeepCopy()
	m.Data = data
	m, err = client.Update(ctx, c.Client, client.ConfigMaps, m)
	if err != nil {
		return old, errors.Join(errors.New("record of manifests not written"), err)
	}
	return m, nil
}
