package openapi

import (
	"crypto/sha512"
	"fmt"
	"sync"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// outline is a document that has not been made: its name, and what it is made of.
type outline struct {
	name   string // "apis/apps/v1"
	kinds  []*api.Kind
	fixed  *document // of a document that has no kinds
	digest string    // of all that the document follows from; it changes with it
}

// etag names what the document says. It follows from the digest, so that the index need not make documents to name their hashes.
// Both encodings have the same one.
func (o outline) etag() string {
	return fmt.Sprintf("%X", sha512.Sum512([]byte(o.digest+o.name)))
}

// document describes the kinds of the outline.
func (o outline) document() (document, error) {
	if o.fixed != nil {
		return o.fixed.shared(), nil
	}
	var d document
	if typed(o.kinds[0]) {
		d = versionDocument(o.kinds[0].GVK().GroupVersion())
	}
	d.name, d.custom = o.name, !typed(o.kinds[0])
	for _, k := range o.kinds {
		items, err := itemsOf(k)
		if err != nil {
			return d, err
		}
		d.items = append(d.items, items...)
	}
	return d.shared(), nil
}

// outlinesOf divides kinds into documents, group by group, after those of the well-known paths. A group of custom resources has no
// document of its own, as upstream has it, only its versions have.
func outlinesOf(kinds *api.Kinds, version string) []outline {
	base := version + embeddedDigest()
	var out []outline
	fixed := func(d document) { out = append(out, outline{name: d.name, fixed: &d, digest: base}) }
	for _, d := range wellKnown() {
		fixed(d)
	}
	at := map[schema.GroupVersion]int{}
	seen := map[string]bool{}
	for _, k := range kinds.All() {
		gv := k.GVK().GroupVersion()
		if !seen[k.Group] && k.Group != "" && typed(k) {
			fixed(groupDocument(k.Group))
			seen[k.Group] = true
		}
		i, ok := at[gv]
		if !ok {
			i = len(out)
			at[gv] = i
			out = append(out, outline{name: root(gv)})
		}
		out[i].kinds = append(out[i].kinds, k)
	}
	for i := range out {
		if out[i].kinds != nil {
			out[i].digest = base + digest(out[i].kinds)
		}
	}
	return out
}

// documents makes all of them.
func documents(outlines []outline) ([]document, error) {
	out := make([]document, len(outlines))
	for i, o := range outlines {
		var err error
		if out[i], err = o.document(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// typed reports whether the objects of a kind are of a Go type.
func typed(k *api.Kind) bool { return api.Scheme.Recognizes(k.GVK()) }

// digest of all that is described of kinds.
func digest(kinds []*api.Kind) string {
	s := sha512.New()
	for _, k := range kinds {
		fmt.Fprintln(s, k.GVK(), k.Resource, k.Namespaced, k.Verbs)
		for _, sub := range k.Subresources {
			fmt.Fprintln(s, sub.Name, sub.GVK, sub.Verbs)
		}
		if k.Model != nil {
			fmt.Fprintln(s, k.Model.ID)
		}
	}
	return string(s.Sum(nil))
}

// embeddedDigest is that of the definitions of Go types.
var embeddedDigest = sync.OnceValue(func() string {
	sum := sha512.Sum512(compressed)
	return string(sum[:])
})
