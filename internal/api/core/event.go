package core

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Events is the kind Event of the core group, the one that is stored; events.k8s.io has a view of it.
func Events() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "Event", Resource: "events", Singular: "event", ShortNames: []string{"ev"}, Namespaced: true,
		New:     func() api.Object { return &corev1.Event{} },
		NewList: func() runtime.Object { return &corev1.EventList{} },

		Validate:       api.Check(func(e *corev1.Event) field.ErrorList { return ValidateEvent(e, "reportingComponent") }),
		ValidateUpdate: api.CheckChange(func(e, _ *corev1.Event) field.ErrorList { return ValidateEvent(e, "reportingComponent") }),
		CreateOnUpdate: true,
		Unconditional:  true,
		Columns:        EventColumns(),
		Row:            api.Cells(EventRow),
		Fields:         fieldsOf(eventFields),
		FieldLabels: []string{
			"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
			"involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
			"reason", "reportingComponent", "source", "type",
		},
		TTLSeconds: 3600,
		Unowned:    true,
	}
}

// ValidateEvent holds the rules that events of both groups obey. controllerField is what the group that was asked calls
// the reporting controller: "reportingComponent" in core, "reportingController" in events.k8s.io.
func ValidateEvent(e *corev1.Event, controllerField string) field.ErrorList {
	involved := field.NewPath("involvedObject", "namespace")
	const mismatch = "does not match event.namespace"
	if e.EventTime.IsZero() {
		// An event of the old kind. That of an object without a namespace is in "default".
		of := e.InvolvedObject.Namespace
		if of == "" && e.Namespace != "" && e.Namespace != metav1.NamespaceDefault || of != "" && of != e.Namespace {
			return field.ErrorList{field.Invalid(involved, of, mismatch)}
		}
		return nil
	}
	var errs field.ErrorList
	if e.InvolvedObject.Namespace == "" && e.Namespace != metav1.NamespaceDefault && e.Namespace != metav1.NamespaceSystem {
		errs = append(errs, field.Invalid(involved, e.InvolvedObject.Namespace, mismatch))
	}
	if e.ReportingController == "" {
		errs = append(errs, field.Required(field.NewPath(controllerField), ""))
	}
	errs = append(errs, valid.QualifiedName(e.ReportingController, field.NewPath(controllerField))...)
	for _, f := range []struct {
		name, value string
		limit       int
		required    bool
	}{
		{"reportingInstance", e.ReportingInstance, 128, true},
		{"action", e.Action, 128, true},
		{"reason", e.Reason, 128, true},
		{"message", e.Message, 1024, false},
	} {
		if f.required && f.value == "" {
			errs = append(errs, field.Required(field.NewPath(f.name), ""))
		}
		if len(f.value) > f.limit {
			errs = append(errs, field.Invalid(field.NewPath(f.name), "", fmt.Sprintf("can have at most %v characters", f.limit)))
		}
	}
	return errs
}

// EventColumns are the columns of events of both groups.
func EventColumns() []metav1.TableColumnDefinition {
	doc := corev1.Event{}.SwaggerDoc()
	name := api.NameColumn()
	name.Priority = 1
	return []metav1.TableColumnDefinition{
		api.Column("Last Seen", "string", doc["lastTimestamp"]),
		api.Column("Type", "string", doc["type"]),
		api.Column("Reason", "string", doc["reason"]),
		api.Column("Object", "string", doc["involvedObject"]),
		api.WideColumn("Subobject", "string", corev1.ObjectReference{}.SwaggerDoc()["fieldPath"]),
		api.WideColumn("Source", "string", doc["source"]),
		api.Column("Message", "string", doc["message"]),
		api.WideColumn("First Seen", "string", doc["firstTimestamp"]),
		api.WideColumn("Count", "string", doc["count"]),
		name,
	}
}

// EventRow is the line of an event in its stored form.
func EventRow(e *corev1.Event) []any {
	first := e.FirstTimestamp
	if first.IsZero() {
		first = metav1.Time(e.EventTime)
	}
	last := e.LastTimestamp
	if last.IsZero() {
		last = first
	}
	count := e.Count
	if e.Series != nil {
		last = metav1.Time(e.Series.LastObservedTime)
		count = e.Series.Count
	} else if count == 0 {
		count = 1
	}
	object := strings.ToLower(e.InvolvedObject.Kind)
	if e.InvolvedObject.Name != "" {
		object += "/" + e.InvolvedObject.Name
	}
	return []any{
		last, e.Type, e.Reason, object, e.InvolvedObject.FieldPath, eventSource(e),
		strings.TrimSpace(e.Message), first, int64(count), e.Name,
	}
}

func eventSource(e *corev1.Event) string {
	component, instance := e.Source.Component, e.Source.Host
	if component == "" {
		component = e.ReportingController
	}
	if instance == "" {
		instance = e.ReportingInstance
	}
	if instance == "" {
		return component
	}
	return component + ", " + instance
}

func eventFields(e *corev1.Event) fields.Set {
	source := e.Source.Component
	if source == "" {
		source = e.ReportingController
	}
	o := &e.InvolvedObject
	return fields.Set{
		"involvedObject.kind":            o.Kind,
		"involvedObject.namespace":       o.Namespace,
		"involvedObject.name":            o.Name,
		"involvedObject.uid":             string(o.UID),
		"involvedObject.apiVersion":      o.APIVersion,
		"involvedObject.resourceVersion": o.ResourceVersion,
		"involvedObject.fieldPath":       o.FieldPath,
		"reason":                         e.Reason,
		"reportingComponent":             e.ReportingController,
		"source":                         source,
		"type":                           e.Type,
	}
}
