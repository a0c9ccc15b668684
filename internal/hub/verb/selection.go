package verb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/cache"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// selection is which objects of a kind a list or watch is about.
type selection struct {
	t      target
	labels labels.Selector // nil for all
	fields fields.Selector // nil for all

	prefix string // of the keys
	key    string // the only key it can be, or ""
	part   string // the only value that the kind's partition field can have, or ""
}

// MaxSelector is how many characters a selector may have: every object is held against every term of it.
const MaxSelector = 64 << 10

// selectionOf reads the selectors of opts. Unknown field labels are refused in upstream's words.
func selectionOf(t target, namespace, name string, opts metav1.ListOptions) (selection, error) {
	s := selection{t: t, prefix: t.stored.StoragePrefix()}
	if t.stored.Namespaced && namespace != "" {
		s.prefix += namespace + "/"
	}
	if n := max(len(opts.LabelSelector), len(opts.FieldSelector)); n > MaxSelector {
		return s, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the selector has %d characters, limit is %d", n, MaxSelector))
	}
	if opts.LabelSelector != "" {
		sel, err := labels.Parse(opts.LabelSelector)
		if err != nil {
			return s, apierrors.NewBadRequest(err.Error())
		}
		if !sel.Empty() {
			s.labels = sel
		}
	}
	if opts.FieldSelector != "" {
		sel, err := fields.ParseSelector(opts.FieldSelector)
		if err != nil {
			return s, apierrors.NewBadRequest(err.Error())
		}
		for _, r := range sel.Requirements() {
			if err := checkFieldLabel(t.kind, r.Field); err != nil {
				return s, err
			}
		}
		if !sel.Empty() {
			s.fields = sel
		}
	}
	if name != "" {
		if s.fields != nil {
			if have, ok := s.fields.RequiresExactMatch("metadata.name"); !ok || have != name {
				return s, apierrors.NewBadRequest("fieldSelector metadata.name doesn't match requested name")
			}
		} else {
			s.fields = fields.OneTermEqualSelector("metadata.name", name)
		}
	}
	s.narrow(namespace)
	return s, nil
}

// narrow finds what of the field selector the cache can answer by itself.
func (s *selection) narrow(namespace string) {
	if s.fields == nil {
		return
	}
	if s.t.stored.Namespaced && namespace == "" {
		if ns, ok := s.fields.RequiresExactMatch("metadata.namespace"); ok && ns != "" {
			namespace = ns
			s.prefix = s.t.stored.StoragePrefix() + ns + "/"
		}
	}
	if name, ok := s.fields.RequiresExactMatch("metadata.name"); ok && name != "" && (namespace != "" || !s.t.stored.Namespaced) {
		s.key = s.t.stored.Key(namespace, name)
		return
	}
	if p := s.t.stored.Partition; p != nil {
		if value, ok := s.fields.RequiresExactMatch(p.Field); ok {
			s.part = value
		}
	}
}

func checkFieldLabel(k *api.Kind, label string) error {
	if k.Versions != nil && label == "metadata.namespace" && !k.Namespaced {
		return apierrors.NewBadRequest("field label not supported: " + label)
	}
	if label == "metadata.name" || label == "metadata.namespace" && (k.Namespaced || len(k.FieldLabels) == 0) || slices.Contains(k.FieldLabels, label) {
		return nil
	}
	if len(k.FieldLabels) == 0 && k.Versions == nil {
		return apierrors.NewBadRequest(fmt.Sprintf("%q is not a known field selector: only %q, %q", label, "metadata.name", "metadata.namespace"))
	}
	return apierrors.NewBadRequest("field label not supported: " + label)
}

// all reports whether every object under the prefix is selected.
func (s *selection) all() bool { return s.labels == nil && s.fields == nil }

// matches tests one version of an object. Objects are decoded only when a selector needs to look inside.
func (s *selection) matches(ctx context.Context, en *cache.Entry) (bool, error) {
	if !strings.HasPrefix(en.Key, s.prefix) || s.key != "" && en.Key != s.key {
		return false, nil
	}
	if s.all() || s.labels == nil && s.key != "" && len(s.fields.Requirements()) == 1 {
		return true, nil
	}
	obj, err := s.t.object(ctx, en)
	if err != nil {
		return false, err
	}
	if s.labels != nil && !s.labels.Matches(labels.Set(obj.GetLabels())) {
		return false, nil
	}
	if s.fields == nil {
		return true, nil
	}
	set, err := s.fieldsOf(ctx, obj)
	if err != nil {
		return false, err
	}
	return s.fields.Matches(set), nil
}

// fieldsOf makes the field set of an object in the form in which the request is carried out.
func (s *selection) fieldsOf(ctx context.Context, obj api.Object) (fields.Set, error) {
	set := fields.Set{}
	switch {
	case s.t.kind.Versions != nil:
		if s.t.kind.Fields != nil {
			set = s.t.kind.Fields(obj)
		}
	case s.t.kind.View != nil && s.t.kind.Fields != nil:
		seen, err := s.t.outward(ctx, obj)
		if err != nil {
			return nil, err
		}
		set = s.t.kind.Fields(seen)
	case s.t.stored.Fields != nil:
		set = s.t.stored.Fields(obj)
	}
	if set == nil {
		set = fields.Set{}
	}
	set["metadata.name"] = obj.GetName()
	set["metadata.namespace"] = obj.GetNamespace()
	return set, nil
}

// scope is the part of the event log that can hold events of the selection.
func (s *selection) scope() cache.Scope {
	switch {
	case s.key != "":
		return cache.Scope{Key: s.key}
	case s.part != "":
		return cache.Scope{Part: s.part}
	}
	return cache.Scope{Prefix: s.prefix}
}

// lookUp is how many entries are looked at between two looks at whether anybody still waits.
const lookUp = 256

// each calls fn for every selected entry of a snapshot from key from on, in key order, until it returns false or ctx ends:
// to look into every object of a large kind takes seconds.
func (s *selection) each(ctx context.Context, snap *cache.Snapshot, from string, fn func(*cache.Entry) bool) error {
	var failed error
	looked := 0
	visit := func(en *cache.Entry) bool {
		if en == nil || en.Key < from {
			return true
		}
		if looked++; looked%lookUp == 0 && ctx.Err() != nil {
			failed = storeError(ctx.Err())
			return false
		}
		ok, err := s.matches(ctx, en)
		if err != nil {
			failed = apierrors.NewInternalError(err)
			return false
		}
		return !ok || fn(en)
	}
	switch {
	case s.key != "":
		if en := snap.Get(s.key); en != nil && en.Bad() == nil {
			visit(en)
		}
	case s.part != "":
		for _, en := range snap.Part(s.part) {
			if !visit(en) {
				break
			}
		}
	default:
		snap.Ascend(s.prefix, from, visit)
	}
	return failed
}

// checkListOptions applies the rules for lists and watches.
func checkListOptions(opts *metav1.ListOptions) error {
	var errs field.ErrorList
	match := opts.ResourceVersionMatch
	matchPath := field.NewPath("resourceVersionMatch")
	if opts.Watch {
		if opts.SendInitialEvents != nil && match != metav1.ResourceVersionMatchNotOlderThan {
			errs = append(errs, field.Forbidden(matchPath, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
		}
		if match != "" {
			if opts.SendInitialEvents == nil {
				errs = append(errs, field.Forbidden(matchPath, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
			}
			if match != metav1.ResourceVersionMatchNotOlderThan {
				errs = append(errs, field.NotSupported(matchPath, match, []string{string(metav1.ResourceVersionMatchNotOlderThan)}))
			}
			if opts.Continue != "" {
				errs = append(errs, field.Forbidden(matchPath, "resourceVersionMatch is forbidden when continue is provided"))
			}
		}
	} else {
		errs = append(errs, listMatchErrors(opts)...)
	}
	if len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", errs)
	}
	return nil
}

func listMatchErrors(opts *metav1.ListOptions) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("resourceVersionMatch")
	if match := opts.ResourceVersionMatch; match != "" {
		if opts.ResourceVersion == "" {
			errs = append(errs, field.Forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
		}
		if opts.Continue != "" {
			errs = append(errs, field.Forbidden(path, "resourceVersionMatch is forbidden when continue is provided"))
		}
		if match != metav1.ResourceVersionMatchExact && match != metav1.ResourceVersionMatchNotOlderThan {
			errs = append(errs, field.NotSupported(path, match, []string{string(metav1.ResourceVersionMatchExact), string(metav1.ResourceVersionMatchNotOlderThan), ""}))
		}
		if match == metav1.ResourceVersionMatchExact && opts.ResourceVersion == "0" {
			errs = append(errs, field.Forbidden(path, `resourceVersionMatch "exact" is forbidden for resourceVersion "0"`))
		}
	}
	if opts.SendInitialEvents != nil {
		errs = append(errs, field.Forbidden(field.NewPath("sendInitialEvents"), "sendInitialEvents is forbidden for list"))
	}
	return errs
}
