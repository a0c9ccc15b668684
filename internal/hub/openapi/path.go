package openapi

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// document is what one v3 document tells of: a group and version, or a well-known path.
type document struct {
	name   string // "apis/apps/v1"
	items  []item
	custom bool // of custom resources
}

// item is one path with its operations. params are those that all operations share.
type item struct {
	path   string
	params []param
	ops    []operation
}

type operation struct {
	method   string // "get"
	id       string // "readAppsV1NamespacedDeployment"
	doc      string
	tag      string
	action   string // x-kubernetes-action; "" outside of resources
	gvk      schema.GroupVersionKind
	consumes []string
	produces []string
	params   []param
	body     string // definition name, "" for none
	needBody bool
	answer   string // definition name, "" for a string
	codes    []int  // that carry the answer
}

var (
	objectTypes = []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}
	listTypes   = append(objectTypes[:3:3], "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
	patchTypes  = []string{
		"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml",
	}
	anyType = []string{"*/*"}
)

// Definitions that paths name themselves.
const (
	deleteOptions = metaPrefix + "DeleteOptions"
	patchBody     = metaPrefix + "Patch"
	statusAnswer  = metaPrefix + "Status"
	metaPrefix    = "io.k8s.apimachinery.pkg.apis.meta.v1."
)

// shared returns the document with the parameters that all operations of a path have at the path.
func (d document) shared() document {
	d.items = slices.Clone(d.items)
	for i := range d.items {
		d.items[i].share()
	}
	return d
}

// root is the path of a group and version without a slash at its ends.
func root(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.Group + "/" + gv.Version
}

// groupName is a group as operation ids spell it: "core", "rbacAuthorization".
func groupName(group string) string {
	if group == "" {
		return "core"
	}
	return camel(strings.TrimSuffix(group, ".k8s.io"), false)
}

// camel drops what is neither letter nor digit and capitalizes what follows it.
func camel(s string, upper bool) string {
	var b strings.Builder
	for i, r := range s {
		if !unicode.IsLetter(r) && r != '_' && (i == 0 || !unicode.IsDigit(r)) {
			upper = true
			continue
		}
		if upper {
			r, upper = unicode.ToUpper(r), false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// info is an operation that tells something of the server.
func info(doc, path, id, text, tag, answer string, types []string) document {
	return document{name: doc, items: []item{{path: path, ops: []operation{{
		method: "get", id: id, doc: text, tag: tag, consumes: types, produces: types, answer: answer, codes: []int{200},
	}}}}}
}

func wellKnown() []document {
	oidc := info(".well-known/openid-configuration", "/.well-known/openid-configuration/", "getServiceAccountIssuerOpenIDConfiguration",
		"get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'", "WellKnown", "", objectTypes[:1])
	jwks := info("openid/v1/jwks", "/openid/v1/jwks/", "getServiceAccountIssuerOpenIDKeyset",
		"get service account issuer OpenID JSON Web Key Set (contains public token verification keys)", "openid", "", []string{"application/jwk-set+json"})
	oidc.items[0].ops[0].consumes, jwks.items[0].ops[0].consumes = nil, nil
	return []document{
		oidc,
		info("api", "/api/", "getCoreAPIVersions", "get available API versions", "core", metaPrefix+"APIVersions", objectTypes),
		info("apis", "/apis/", "getAPIVersions", "get available API versions", "apis", metaPrefix+"APIGroupList", objectTypes),
		jwks,
		info("version", "/version/", "getCodeVersion", "get the version information for this server", "version",
			"io.k8s.apimachinery.pkg.version.Info", objectTypes[:1]),
	}
}

func groupDocument(group string) document {
	name := groupName(group)
	return info("apis/"+group, "/apis/"+group+"/", "get"+camel(name, true)+"APIGroup", "get information of a group", name,
		metaPrefix+"APIGroup", objectTypes)
}

func versionDocument(gv schema.GroupVersion) document {
	name := groupName(gv.Group)
	return info(root(gv), "/"+root(gv)+"/", "get"+camel(name, true)+camel(gv.Version, true)+"APIResources", "get available resources",
		name+"_"+gv.Version, metaPrefix+"APIResourceList", objectTypes)
}

// definition is the name of a type's definition.
func definition(gvk schema.GroupVersionKind) (string, error) {
	if !api.Scheme.Recognizes(gvk) {
		return untypedName(gvk), nil
	}
	name, err := api.Scheme.ToOpenAPIDefinitionName(gvk)
	if err != nil {
		return "", fmt.Errorf("definition of %s: %w", gvk, err)
	}
	return name, nil
}

// article is the indefinite article of a kind, with spaces around it.
func article(kind string) string {
	switch {
	case strings.HasSuffix(kind, "s") && !strings.HasSuffix(kind, "ss"):
		return " "
	case strings.ContainsRune("AEIOUaeiou", rune(kind[0])):
		return " an "
	}
	return " a "
}
