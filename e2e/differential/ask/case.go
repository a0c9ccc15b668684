package ask

import (
	"encoding/json"
	"fmt"
)

// Case is a row of requests that are sent one after the other. Cases use names that no other case uses, and remove what they made.
type Case struct {
	Name  string `json:"name"`
	Steps []Step `json:"steps"`
}

// Step is one request.
type Step struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Type   string `json:"type,omitempty"` // Content-Type; "" is application/json
	Body   string `json:"body,omitempty"`
	Accept string `json:"accept,omitempty"`
	// Until, when it is set, has the request repeated until the answer holds it, for ten seconds at most. Such a step is not compared.
	Until Condition `json:"until,omitzero"`
}

// Condition is what a step waits for.
type Condition struct {
	Code      int    `json:"code,omitempty"`      // the status code
	Condition string `json:"condition,omitempty"` // a type of status.conditions that is True
}

// Answer is what a server said.
type Answer struct {
	Code     int      `json:"code"`
	Warnings []string `json:"warnings,omitempty"`
	Body     any      `json:"body,omitempty"` // decoded JSON, or text
}

// Post, Put, Patch and Delete are steps with JSON bodies.
func Post(path string, body any) Step { return Step{Method: "POST", Path: path, Body: text(body)} }
func Put(path string, body any) Step  { return Step{Method: "PUT", Path: path, Body: text(body)} }
func Delete(path string) Step         { return Step{Method: "DELETE", Path: path} }
func Get(path string) Step            { return Step{Method: "GET", Path: path} }

// Merge is a JSON merge patch, Apply a server-side apply by a manager.
func Merge(path string, body any) Step {
	return Step{Method: "PATCH", Path: path, Type: "application/merge-patch+json", Body: text(body)}
}

func Apply(path, manager string, body any) Step {
	return Step{Method: "PATCH", Path: path + "?fieldManager=" + manager, Type: "application/apply-patch+yaml", Body: text(body)}
}

// Await is a step that waits.
func Await(path string, c Condition) Step { return Step{Method: "GET", Path: path, Until: c} }

func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a case cannot be written as JSON: %v", err))
	}
	return string(data)
}
