package openapi

import (
	"slices"
	"strings"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// builder makes the operations of one kind or of one of its subresources.
type builder struct {
	kind  *api.Kind
	sub   string // "", "status"
	id    string // "AppsV1"
	noun  string // "NamespacedDeployment", "NamespacedDeploymentStatus"
	name  string // what descriptions speak of: "Deployment", "status of the specified Deployment"
	tag   string
	gvk   schema.GroupVersionKind // of the body
	def   string                  // its definition
	scope []param                 // name, namespace and pretty, as they apply
}

func kindItems(k *api.Kind) ([]item, error) {
	def, err := definition(k.GVK())
	if err != nil {
		return nil, err
	}
	noun := k.Kind
	base := "/" + root(k.GVK().GroupVersion())
	all := base + "/" + k.Resource
	var scope []param
	if k.Namespaced {
		noun = "Namespaced" + noun
		base += "/namespaces/{namespace}"
		scope = []param{namespaceParam}
	}
	group := groupName(k.Group)
	b := builder{
		kind: k, id: camel(group, true) + camel(k.Version, true), noun: noun, tag: group + "_" + k.Version, gvk: k.GVK(), def: def,
		scope: append(scope, prettyParam),
	}
	path := base + "/" + k.Resource
	out := []item{{path, b.scope, b.collection()}}
	if k.Namespaced && k.Can("list") {
		out = append(out, item{all, []param{prettyParam}, []operation{b.list(k.Kind + "ForAllNamespaces")}})
	}
	b.scope = append(slices.Clone(scope), nameParam(k.Kind), prettyParam)
	if ops := b.object(); len(ops) > 0 {
		out = append(out, item{path + "/{name}", b.scope, ops})
	}
	for i := range k.Subresources {
		items, err := b.subresource(&k.Subresources[i], path+"/{name}/")
		if err != nil {
			return nil, err
		}
		out = append(out, items...)
	}
	return slices.DeleteFunc(out, func(i item) bool { return len(i.ops) == 0 }), nil
}

func (b *builder) op(method, verb, action, doc string) operation {
	return operation{
		method: method, id: verb + b.id + b.noun, doc: doc, tag: b.tag, action: action, gvk: b.gvk,
		consumes: anyType, produces: objectTypes, answer: b.def, codes: []int{200},
	}
}

func (b *builder) list(noun string) operation {
	doc := "list or watch objects of kind "
	if !b.kind.Can("watch") {
		doc = "list objects of kind "
	}
	o := b.op("get", "list", "list", doc+b.kind.Kind)
	o.id = "list" + b.id + noun
	o.params, o.produces, o.answer = paramsOf(metav1.ListOptions{}), listTypes, b.def+"List"
	return o
}

func (b *builder) create(doc string) operation {
	o := b.op("post", "create", "post", doc)
	o.params, o.body, o.needBody, o.codes = paramsOf(metav1.CreateOptions{}), b.def, true, []int{200, 201, 202}
	return o
}

// collection is what can be done with all objects at once.
func (b *builder) collection() []operation {
	var out []operation
	k := b.kind
	if k.Can("list") {
		out = append(out, b.list(b.noun))
	}
	if k.Can("create") {
		out = append(out, b.create("create"+article(k.Kind)+k.Kind))
	}
	if k.Can("deletecollection") {
		o := b.op("delete", "delete", "deletecollection", "delete collection of "+k.Kind)
		o.id = "delete" + b.id + "Collection" + b.noun
		o.body, o.answer = deleteOptions, statusAnswer
		o.params = merge(paramsOf(metav1.DeleteOptions{}), paramsOf(metav1.ListOptions{}, "watch", "allowWatchBookmarks"))
		out = append(out, o)
	}
	return out
}

// object is what can be done with one object.
func (b *builder) object() []operation {
	k := b.kind
	out := b.readWrite(func(verb string) bool { return k.Can(verb) }, k.Kind)
	if k.Can("delete") {
		o := b.op("delete", "delete", "delete", "delete"+article(k.Kind)+k.Kind)
		o.body, o.answer, o.codes, o.params = deleteOptions, statusAnswer, []int{200, 202}, paramsOf(metav1.DeleteOptions{})
		if k.ReturnsDeleted && k.Termination == nil { // upstream's document has a Status for namespaces, which they answer with only in the end
			o.answer = b.def
		}
		out = append(out, o)
	}
	return out
}

func (b *builder) readWrite(can func(verb string) bool, what string) []operation {
	var out []operation
	if can("get") {
		out = append(out, b.op("get", "read", "get", "read the specified "+what))
	}
	if can("update") {
		o := b.op("put", "replace", "put", "replace the specified "+what)
		o.params, o.body, o.needBody, o.codes = paramsOf(metav1.UpdateOptions{}), b.def, true, []int{200, 201}
		out = append(out, o)
	}
	if can("patch") {
		o := b.op("patch", "patch", "patch", "partially update the specified "+what)
		o.params, o.body, o.needBody, o.codes = paramsOf(metav1.PatchOptions{}), patchBody, true, []int{200, 201}
		o.consumes = patchTypes
		out = append(out, o)
	}
	return out
}

// subresource returns the paths of one subresource; prefix is that of the object with a slash.
func (b builder) subresource(s *api.Subresource, prefix string) ([]item, error) {
	b.sub = s.Name
	b.noun += camel(s.Name, true)
	if !s.GVK.Empty() {
		b.gvk = s.GVK
		if b.kind.Model == nil { // of custom resources, upstream has it speak of the resource
			b.rename(s.GVK.Kind)
		}
	}
	var err error
	if b.def, err = definition(b.gvk); err != nil {
		return nil, err
	}
	path, can := prefix+s.Name, func(verb string) bool { return slices.Contains(s.Verbs, verb) }
	switch {
	case s.Connect != nil && s.Connect.Reads:
		o := b.op("get", "read", "get", "read "+s.Name+" of the specified "+b.kind.Kind)
		o.answer, o.produces = "", append([]string{"text/plain"}, objectTypes...)
		return []item{{path, merge(b.scope, paramsOf(s.Connect.Options())), []operation{o}}}, nil
	case s.Connect != nil:
		return b.connect(s, path), nil
	case can("create"):
		return []item{{path, b.scope, []operation{b.create("create " + s.Name + " of" + article(b.kind.Kind) + b.kind.Kind)}}}, nil
	}
	ops := b.readWrite(can, b.kind.Kind)
	for i := range ops {
		ops[i].doc = strings.Replace(ops[i].doc, " the specified", " "+s.Name+" of the specified", 1)
	}
	return []item{{path, b.scope, ops}}, nil
}

// rename has the parameter name speak of another kind: that of the body, and the options of a stream.
func (b *builder) rename(kind string) {
	b.scope = slices.Clone(b.scope)
	for i := range b.scope {
		if b.scope[i].name == "name" {
			b.scope[i] = nameParam(kind)
		}
	}
}

// methodsOf are the HTTP methods of the verbs that a connecting subresource has.
var methodsOf = map[string][]string{
	"create": {"post"}, "delete": {"delete"}, "get": {"get"}, "patch": {"patch"}, "update": {"put"},
}

// connect is a subresource that hands the connection on: exec, attach, portforward, proxy.
func (b builder) connect(s *api.Subresource, path string) []item {
	scope := slices.DeleteFunc(slices.Clone(b.scope), func(p param) bool { return p.name == "pretty" })
	options := paramsOf(s.Connect.Options())
	var methods []string
	for _, v := range s.Verbs {
		methods = append(methods, methodsOf[v]...)
	}
	if s.Connect.Paths {
		methods = append(methods, "head", "options")
	}
	make := func(suffix string) []operation {
		var out []operation
		for _, m := range methods {
			o := b.op(m, "connect", "connect", "connect "+strings.ToUpper(m)+" requests to "+s.Name+" of "+b.kind.Kind)
			o.id = "connect" + b.id + camel(m, true) + b.noun + suffix
			o.produces, o.answer = anyType, ""
			out = append(out, o)
		}
		return out
	}
	out := []item{{path, merge(scope, options), make("")}}
	if s.Connect.Paths {
		out = append(out, item{path + "/{path}", merge(append(scope, pathParam), options), make("WithPath")})
	}
	return out
}
