package audit

import (
	"time"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// Level is how much of a request is recorded; each has what those below it have.
type Level uint8

// The levels, as upstream names them.
const (
	None Level = iota
	Metadata
	Request
	RequestResponse
)

var levels = [...]string{"None", "Metadata", "Request", "RequestResponse"}

func (l Level) String() string { return levels[l] }

// Stage is how far a request has come.
type Stage uint8

// The stages; a request has some of them, in this order. Started is of requests that last (watches, streams).
const (
	Received Stage = 1 << iota
	Started
	Complete
	Panic
)

func (s Stage) String() string {
	switch s {
	case Received:
		return "RequestReceived"
	case Started:
		return "ResponseStarted"
	case Complete:
		return "ResponseComplete"
	}
	return "Panic"
}

// Event is what is recorded of a request at one stage. Its JSON ([Event.AppendJSON]) is that of upstream's Event of audit.k8s.io/v1.
// A sink must not keep or change it beyond Record.
type Event struct {
	Level        Level
	ID           string
	Stage        Stage
	URI          string
	Verb         string
	User         api.User
	Impersonated *api.User // nil: nobody
	Constraint   string    // the verb by which impersonation was allowed, where that is a constrained one
	SourceIPs    []string
	UserAgent    string
	Object       *Object        // nil for paths
	Status       *metav1.Status // nil until there is an answer
	Request      []byte         // JSON of the body, at level Request and above; nil for none
	Response     []byte         // JSON of the answer, at level RequestResponse; nil for none
	Received     time.Time
	At           time.Time // of the stage
	Annotations  map[string]string
}

// Object is what a request is about.
type Object struct {
	Resource, Namespace, Name, UID, Group, Version, ResourceVersion, Subresource string
}

// NewID makes an audit ID.
func NewID() string { return string(uuid.NewUUID()) }

// Sink keeps events. Record may be called from many goroutines. False says that the event is lost and that requests must not go on
// because of it.
type Sink interface {
	Record(e *Event) bool
}

// Several sinks get every event.
type Several []Sink

// Record implements Sink.
func (s Several) Record(e *Event) bool {
	ok := true
	for _, to := range s {
		ok = to.Record(e) && ok
	}
	return ok
}
