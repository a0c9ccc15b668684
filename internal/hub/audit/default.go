package audit

import "strings"

// Default is the policy of a cluster for which nobody has written one: who wrote what, at level Metadata, once it has ended; and, by
// [Log.Refusals], whatever was refused. Left out is what machines write all the time to say that they are there (leases, events, the
// statuses of nodes), and questions in the form of a write (reviews).
type Default struct{}

// Of implements Policy.
func (Default) Of(a *Asked) Rule {
	if a.Object == nil || !writes(a.Verb) || chatter(a) {
		return Rule{}
	}
	return Rule{Level: Metadata, Omit: Received | Started}
}

func writes(verb string) bool {
	switch verb {
	case "get", "list", "watch", "head", "options":
		return false
	}
	return true
}

func chatter(a *Asked) bool {
	switch o := a.Object; o.Group {
	case "":
		return o.Resource == "events" || o.Resource == "nodes" && o.Subresource == "status" && strings.HasPrefix(a.User.Name, "system:node:")
	case "coordination.k8s.io":
		return o.Resource == "leases"
	case "events.k8s.io", "authorization.k8s.io":
		return true
	case "authentication.k8s.io":
		return o.Resource == "tokenreviews" || o.Resource == "selfsubjectreviews"
	}
	return false
}
