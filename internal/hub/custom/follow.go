package custom

import (
	"context"
	"log/slog"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// follow tells which definitions have changed. It keeps their names alone: an informer would hold who owns which of their fields,
// which for some takes more than all else.
type follow struct {
	door client.Reader
	log  *slog.Logger
}

// run calls tell with names of definitions that are there or have gone, first with all that there are, until ctx ends.
func (f follow) run(ctx context.Context, tell func(first bool, changed []string)) {
	versions := map[string]string{}
	first := true
	for wait := retryFirst; ctx.Err() == nil; {
		rv, changed, err := f.list(ctx, versions)
		if err == nil {
			tell(first, changed)
			first, wait = false, retryFirst
			err = f.watch(ctx, rv, versions, func(names []string) { tell(false, names) })
		}
		if err != nil && ctx.Err() == nil {
			f.log.Debug("following custom resource definitions", "error", err)
			wait = pause(ctx, wait)
		}
	}
}

func pause(ctx context.Context, wait time.Duration) time.Duration {
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	return min(2*wait, retryLast)
}

// list compares versions with what there is now, brings it up to date and returns what differed.
func (f follow) list(ctx context.Context, versions map[string]string) (rv string, changed []string, err error) {
	l, err := f.door.List(ctx, client.Ref{Resource: client.CustomResourceDefinitions, Metadata: true}, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return "", nil, err
	}
	there := map[string]bool{}
	for _, o := range l.Items {
		there[o.GetName()] = true
		if versions[o.GetName()] != o.GetResourceVersion() {
			versions[o.GetName()] = o.GetResourceVersion()
			changed = append(changed, o.GetName())
		}
	}
	for name := range versions {
		if !there[name] {
			delete(versions, name)
			changed = append(changed, name)
		}
	}
	return l.ResourceVersion, changed, nil
}

// watch keeps versions up to date from rv on, until the watch ends.
func (f follow) watch(ctx context.Context, rv string, versions map[string]string, tell func([]string)) error {
	w, err := f.door.Watch(ctx, client.Ref{Resource: client.CustomResourceDefinitions, Metadata: true}, metav1.ListOptions{ResourceVersion: rv})
	if err != nil {
		return err
	}
	defer w.Stop()
	for ev := range w.ResultChan() {
		o, ok := ev.Object.(api.Object)
		switch {
		case !ok || ev.Type == watch.Bookmark:
			continue
		case ev.Type == watch.Deleted:
			delete(versions, o.GetName())
		default:
			versions[o.GetName()] = o.GetResourceVersion()
		}
		tell([]string{o.GetName()})
	}
	return nil
}
