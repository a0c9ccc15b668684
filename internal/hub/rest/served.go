package rest

import "sampan.dev/internal/hub/catalog"

// serves reports whether there is what a request asks for.
func (x *exchange) serves() bool { return x.kind != nil && x.placed() && x.routed() }

// placed reports whether the path has the resource where it belongs: in a namespace or not, below another resource or not.
func (x *exchange) placed() bool {
	rt, k := &x.route, x.kind
	if rt.Subresource != "" && rt.Rest != "" && (x.stream() == nil || !x.stream().Paths) {
		return false
	}
	if x.names.Answers(rt.Subresource, rt.Verb) == catalog.NoSubresource {
		return false
	}
	if k.Namespaced {
		return rt.Namespace != "" || !rt.NameInPath
	}
	return rt.Namespace == "" || k.OwnNamespace
}

// routed reports whether the method is served at this path.
func (x *exchange) routed() bool {
	rt, k := &x.route, x.kind
	if x.names.Answers(rt.Subresource, rt.Verb) != catalog.Served {
		return false
	}
	if rt.Subresource != "" {
		return rt.NameInPath
	}
	if k.Namespaced && rt.Namespace == "" && rt.Verb != "list" && rt.Verb != "watch" {
		return false
	}
	return rt.Verb == "list" || rt.Verb == "watch" || (rt.Verb == "create" || rt.Verb == "deletecollection") != rt.NameInPath
}
