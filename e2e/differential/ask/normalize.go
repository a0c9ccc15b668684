package ask

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// times and names that are a server's own.
var own = []string{"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "time", "lastTransitionTime", "selfLink"}

// Normalize takes out of an answer what two servers cannot have in common. It changes the answer's body.
func Normalize(a Answer) Answer {
	// What sampan says of parts that nobody acts upon yet is its own.
	a.Warnings = slices.DeleteFunc(slices.Clone(a.Warnings), func(w string) bool { return strings.Contains(w, " not implemented yet; ") })
	slices.Sort(a.Warnings)
	body, ok := a.Body.(map[string]any)
	if !ok {
		return a
	}
	if body["kind"] == "Status" {
		status(body)
	} else {
		scrub(body, "")
	}
	return a
}

// status sorts the causes, and the parts of the message that lists them.
func status(s map[string]any) {
	details, _ := s["details"].(map[string]any)
	delete(details, "uid")
	causes, _ := details["causes"].([]any)
	slices.SortFunc(causes, func(a, b any) int { return strings.Compare(encode(a), encode(b)) })
	if m, _ := s["message"].(string); len(causes) > 1 {
		if head, rest, ok := strings.Cut(m, " is invalid: ["); ok {
			parts := strings.Split(strings.TrimSuffix(rest, "]"), ", ")
			slices.Sort(parts)
			s["message"] = head + " is invalid: [" + strings.Join(parts, ", ") + "]"
		}
	}
	if m, ok := s["message"].(string); ok {
		s["message"] = unordered(quoted(m))
	}
	for _, c := range causes {
		if m, _ := c.(map[string]any); m != nil {
			m["message"] = quoted(m["message"].(string))
		}
	}
}

// unordered puts what is found wrong with an applied object in order. A map is walked, in any order, until a field that there is not is
// met: with one, what else is told is chance.
func unordered(message string) string {
	if strings.HasPrefix(message, "failed to create typed patch object") && strings.Contains(message, "field not declared in schema") {
		head, _, _ := strings.Cut(message, "): ")
		return head + "): …field not declared in schema…"
	}
	head, errs, ok := strings.Cut(message, ": errors:\n")
	if !ok {
		return message
	}
	lines := strings.Split(errs, "\n")
	slices.Sort(lines)
	return head + ": errors:\n" + strings.Join(lines, "\n")
}

var serversOwn = regexp.MustCompile(`(\\*"(?:uid|resourceVersion|creationTimestamp|time)\\*":\\*")[^"\\]*`)

// quoted takes a server's own values out of an object that a message quotes.
func quoted(message string) string { return serversOwn.ReplaceAllString(message, "${1}…") }

// scrub empties what is a server's own, in metadata, conditions and managed fields only: spec may have fields of the same names.
func scrub(v any, in string) {
	switch v := v.(type) {
	case map[string]any:
		defer func() { // those of one second are in the order of their other fields
			if list, ok := v["managedFields"].([]any); ok && in == "metadata" {
				slices.SortFunc(list, func(a, b any) int { return strings.Compare(encode(a), encode(b)) })
			}
		}()
		for k, c := range v {
			if slices.Contains(own, k) && (in == "metadata" || in == "managedFields" || in == "conditions") {
				v[k] = "…"
				continue
			}
			at := k
			if in == "managedFields" || in == "spec" {
				at = in
			}
			scrub(c, at)
		}
	case []any:
		for i, c := range v {
			if text, ok := c.(string); ok && in == "cells" && age.MatchString(text) {
				v[i] = "…"
			}
			scrub(c, in)
		}
	}
}

func encode(v any) string {
	data, _ := json.Marshal(v)
	return string(data)
}

// Equal reports whether two normalized answers say the same.
func Equal(a, b Answer) bool { return common(encode(a)) == common(encode(b)) }

var (
	uid   = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	stamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	age   = regexp.MustCompile(`^(\d+[smh])+$`)
)

// common takes uids and the time of the run out of wherever they stand: labels, messages, cells, fields that a server sets to now.
func common(text string) string {
	return stamp.ReplaceAllStringFunc(uid.ReplaceAllString(text, "uid"), func(s string) string {
		if t, err := time.Parse(time.RFC3339, s); err == nil && time.Since(t).Abs() < time.Hour {
			return "now"
		}
		return s
	})
}
