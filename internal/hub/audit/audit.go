package audit

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/util/uuid"
)

// Event is one finished request.
type Event struct {
	ID           string
	Received     time.Time
	Verb         string
	URI          string
	User         api.User
	Impersonated *api.User // nil: nobody
	SourceIPs    []string
	UserAgent    string

	Group, Version, Resource, Subresource, Namespace, Name string // empty for paths

	Code   int32  // HTTP status
	Reason string // why it failed, "" when it did not
}

// Sink keeps events. Record must not block for long and may be called from many goroutines.
type Sink interface {
	Record(Event)
}

// NewID makes an audit ID.
func NewID() string { return string(uuid.NewUUID()) }

// Discard keeps nothing.
type Discard struct{}

// Record does nothing.
func (Discard) Record(Event) {}

// Lines writes events as JSON lines.
type Lines struct {
	mu struct {
		sync.Mutex
		w io.Writer
	}
}

// NewLines writes to w, one Write per event.
func NewLines(w io.Writer) *Lines {
	l := &Lines{}
	l.mu.w = w
	return l
}

type user struct {
	Username string              `json:"username,omitempty"`
	UID      string              `json:"uid,omitempty"`
	Groups   []string            `json:"groups,omitempty"`
	Extra    map[string][]string `json:"extra,omitempty"`
}

func userOf(u api.User) user {
	return user{Username: u.Name, UID: u.UID, Groups: u.Groups, Extra: u.Extra}
}

type objectRef struct {
	Resource    string `json:"resource,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
	Name        string `json:"name,omitempty"`
	APIGroup    string `json:"apiGroup,omitempty"`
	APIVersion  string `json:"apiVersion,omitempty"`
	Subresource string `json:"subresource,omitempty"`
}

type status struct {
	Code    int32  `json:"code"`
	Message string `json:"message,omitempty"`
	Status  string `json:"status,omitempty"`
}

type line struct {
	Kind             string     `json:"kind"`
	APIVersion       string     `json:"apiVersion"`
	Level            string     `json:"level"`
	AuditID          string     `json:"auditID"`
	Stage            string     `json:"stage"`
	RequestURI       string     `json:"requestURI"`
	Verb             string     `json:"verb"`
	User             user       `json:"user"`
	ImpersonatedUser *user      `json:"impersonatedUser,omitempty"`
	SourceIPs        []string   `json:"sourceIPs,omitempty"`
	UserAgent        string     `json:"userAgent,omitempty"`
	ObjectRef        *objectRef `json:"objectRef,omitempty"`
	ResponseStatus   status     `json:"responseStatus"`
	Received         string     `json:"requestReceivedTimestamp"`
	Stamp            string     `json:"stageTimestamp"`
}

const micro = "2006-01-02T15:04:05.000000Z07:00"

// Record writes one line; what cannot be written is lost.
func (l *Lines) Record(e Event) {
	out := line{
		Kind: "Event", APIVersion: "audit.k8s.io/v1", Level: "Metadata", AuditID: e.ID, Stage: "ResponseComplete",
		RequestURI: e.URI, Verb: e.Verb, User: userOf(e.User), SourceIPs: e.SourceIPs, UserAgent: e.UserAgent,
		ResponseStatus: status{Code: e.Code, Message: e.Reason},
		Received:       e.Received.UTC().Format(micro), Stamp: time.Now().UTC().Format(micro),
	}
	if e.Reason != "" {
		out.ResponseStatus.Status = "Failure"
	}
	if e.Impersonated != nil {
		u := userOf(*e.Impersonated)
		out.ImpersonatedUser = &u
	}
	if e.Resource != "" {
		out.ObjectRef = &objectRef{e.Resource, e.Namespace, e.Name, e.Group, e.Version, e.Subresource}
	}
	data, err := json.Marshal(out)
	if err != nil {
		return // strings and numbers: cannot happen
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.w.Write(append(data, '\n')) //nolint:errcheck // see above
}
