package audit

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"sampan.dev/internal/api"
)

// AppendJSON appends the event as upstream's encoder writes it, without a newline. It is written by hand because it is part of every
// write that is recorded; TestJSON compares it with the encoding of upstream's type.
func (e *Event) AppendJSON(b []byte) []byte {
	b = append(b, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"`...)
	b = append(b, e.Level.String()...)
	b = field(b, `","auditID":`, e.ID)
	b = append(b, `,"stage":"`...)
	b = append(b, e.Stage.String()...)
	b = field(b, `","requestURI":`, e.URI)
	b = field(b, `,"verb":`, e.Verb)
	b = appendUser(append(b, `,"user":`...), &e.User)
	if e.Impersonated != nil {
		b = appendUser(append(b, `,"impersonatedUser":`...), e.Impersonated)
	}
	if e.Constraint != "" {
		b = append(field(b, `,"authenticationMetadata":{"impersonationConstraint":`, e.Constraint), '}')
	}
	if len(e.SourceIPs) > 0 {
		b = appendStrings(append(b, `,"sourceIPs":`...), e.SourceIPs)
	}
	b = optional(b, `,"userAgent":`, e.UserAgent)
	if e.Object != nil {
		b = appendObject(append(b, `,"objectRef":`...), e.Object)
	}
	if e.Status != nil {
		b = e.appendStatus(append(b, `,"responseStatus":`...))
	}
	if e.Request != nil {
		b = append(append(b, `,"requestObject":`...), e.Request...)
	}
	if e.Response != nil {
		b = append(append(b, `,"responseObject":`...), e.Response...)
	}
	b = appendTime(append(b, `,"requestReceivedTimestamp":`...), e.Received)
	b = appendTime(append(b, `,"stageTimestamp":`...), e.At)
	if len(e.Annotations) > 0 {
		b = append(b, `,"annotations":{`...)
		for i, k := range slices.Sorted(maps.Keys(e.Annotations)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(append(appendString(b, k), ':'), e.Annotations[k])
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendUser(b []byte, u *api.User) []byte {
	o := object{append(b, '{'), false}
	o.optional("username", u.Name)
	o.optional("uid", u.UID)
	if len(u.Groups) > 0 {
		o.key("groups")
		o.b = appendStrings(o.b, u.Groups)
	}
	if len(u.Extra) > 0 {
		o.key("extra")
		extra := object{append(o.b, '{'), false}
		for _, k := range slices.Sorted(maps.Keys(u.Extra)) {
			extra.key(k)
			extra.b = appendStrings(extra.b, u.Extra[k])
		}
		o.b = append(extra.b, '}')
	}
	return append(o.b, '}')
}

func appendObject(b []byte, r *Object) []byte {
	o := object{append(b, '{'), false}
	o.optional("resource", r.Resource)
	o.optional("namespace", r.Namespace)
	o.optional("name", r.Name)
	o.optional("uid", r.UID)
	o.optional("apiGroup", r.Group)
	o.optional("apiVersion", r.Version)
	o.optional("resourceVersion", r.ResourceVersion)
	o.optional("subresource", r.Subresource)
	return append(o.b, '}')
}

func (e *Event) appendStatus(b []byte) []byte {
	s := e.Status
	b = append(b, `{"metadata":{}`...)
	b = optional(b, `,"status":`, s.Status)
	b = optional(b, `,"message":`, s.Message)
	b = optional(b, `,"reason":`, string(s.Reason))
	if s.Details != nil {
		if details, err := json.Marshal(s.Details); err == nil {
			b = append(append(b, `,"details":`...), details...)
		}
	}
	if s.Code != 0 {
		b = strconv.AppendInt(append(b, `,"code":`...), int64(s.Code), 10)
	}
	return append(b, '}')
}

// object is a JSON object to which members are appended.
type object struct {
	b    []byte
	more bool
}

func (o *object) key(name string) {
	if o.more {
		o.b = append(o.b, ',')
	}
	o.more = true
	o.b = append(appendString(o.b, name), ':')
}

func (o *object) optional(name, value string) {
	if value != "" {
		o.key(name)
		o.b = appendString(o.b, value)
	}
}

func field(b []byte, key, value string) []byte { return appendString(append(b, key...), value) }

func optional(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return field(b, key, value)
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendString appends a string as encoding/json does.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string: cannot fail
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// appendTime appends a time as metav1.MicroTime has it.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	return t.UTC().AppendFormat(b, `"2006-01-02T15:04:05.000000Z07:00"`)
}
