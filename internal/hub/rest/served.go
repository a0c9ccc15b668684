package rest

import "slices"

// serves reports whether there is what a request asks for.
func (x *exchange) serves() bool { return x.kind != nil && x.placed() && x.routed() }

// placed reports whether the path has the resource where it belongs: in a namespace or not, below another resource or not.
func (x *exchange) placed() bool {
	rt, k := &x.route, x.kind
	if rt.Subresource != "" {
		if x.sub == nil || rt.Rest != "" && (x.sub.Connect == nil || !x.sub.Connect.Paths) {
			return false
		}
	}
	if k.Namespaced {
		return rt.Namespace != "" || !rt.NameInPath
	}
	return rt.Namespace == "" || k.OwnNamespace
}

// routed reports whether the method is served at this path.
func (x *exchange) routed() bool {
	rt, k := &x.route, x.kind
	if rt.Subresource != "" {
		return rt.NameInPath && slices.Contains(x.sub.Verbs, rt.Verb)
	}
	if !k.Can(rt.Verb) {
		return false
	}
	if k.Namespaced && rt.Namespace == "" && rt.Verb != "list" && rt.Verb != "watch" {
		return false
	}
	return rt.Verb == "list" || rt.Verb == "watch" || (rt.Verb == "create" || rt.Verb == "deletecollection") != rt.NameInPath
}
