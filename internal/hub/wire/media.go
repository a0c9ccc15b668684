package wire

import (
	"cmp"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Format is an encoding.
type Format uint8

// The encodings. JSON is what a client gets that does not say.
const (
	JSON Format = iota
	YAML
	Proto
)

// Media types.
const (
	TypeJSON  = "application/json"
	TypeYAML  = "application/yaml"
	TypeProto = "application/vnd.kubernetes.protobuf"
)

var types = []string{JSON: TypeJSON, YAML: TypeYAML, Proto: TypeProto}

// Output is how a client wants its answer.
type Output struct {
	Format  Format
	Convert schema.GroupVersionKind // Table, PartialObjectMetadata, PartialObjectMetadataList, or empty
	Pretty  bool
	Profile string // of discovery documents

	// IncludeObject is what Table rows carry: None, Metadata (the default) or Object.
	IncludeObject metav1.IncludeObjectPolicy

	contentType string // "" is that of Format
}

// clause is one member of an Accept header.
type clause struct {
	typ, sub string
	params   map[string]string
	q        float64
}

// parseAccept reads an Accept header, best first; upstream's order is stable for equal weights.
func parseAccept(header string) []clause {
	var out []clause
	for part := range strings.SplitSeq(header, ",") {
		mt, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		c := clause{params: params, q: 1}
		c.typ, c.sub, _ = strings.Cut(mt, "/")
		if q, ok := params["q"]; ok {
			if f, err := strconv.ParseFloat(q, 64); err == nil {
				c.q = f
			}
			delete(params, "q")
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b clause) int {
		if c := cmp.Compare(b.q, a.q); c != 0 {
			return c
		}
		return wildness(a) - wildness(b)
	})
	return out
}

func wildness(c clause) int {
	switch {
	case c.typ == "*":
		return 2
	case c.sub == "*":
		return 1
	}
	return 0
}

func (c clause) covers(media string) bool {
	typ, sub, _ := strings.Cut(media, "/")
	return (c.typ == typ || c.typ == "*") && (c.sub == sub || c.sub == "*")
}

// Negotiate reads what a client accepts. allow says which conversions the endpoint can make (nil: none).
func Negotiate(r *http.Request, allow func(f Format, convert schema.GroupVersionKind) bool) (Output, error) {
	out := Output{Pretty: wantsPretty(r)}
	header := strings.Join(r.Header.Values("Accept"), ",")
	if header == "" {
		return out, nil
	}
	for _, c := range parseAccept(header) {
		for f, media := range types {
			if !c.covers(media) {
				continue
			}
			if o, ok := c.output(Format(f), allow); ok {
				o.Pretty = o.Pretty || out.Pretty
				return o, nil
			}
		}
	}
	return out, NotAcceptable(types)
}

func (c clause) output(f Format, allow func(Format, schema.GroupVersionKind) bool) (Output, bool) {
	o := Output{Format: f}
	for k, v := range c.params {
		switch k {
		case "as":
			o.Convert.Kind = v
		case "g":
			o.Convert.Group = v
		case "v":
			o.Convert.Version = v
		case "pretty":
			o.Pretty = v == "1"
		case "profile":
			o.Profile = v
		case "stream":
			if v != "" && (v != "watch" || f == YAML) {
				return o, false
			}
		}
	}
	if !o.Convert.Empty() && (allow == nil || !allow(f, o.Convert)) {
		return o, false
	}
	return o, true
}

// ObjectConversions are what endpoints of objects can make of them.
func ObjectConversions(f Format, c schema.GroupVersionKind) bool {
	if c.Group != metav1.GroupName || c.Version != "v1" && c.Version != "v1beta1" {
		return false
	}
	switch c.Kind {
	case "Table":
		return f != Proto
	case "PartialObjectMetadata", "PartialObjectMetadataList":
		return true
	}
	return false
}

func wantsPretty(r *http.Request) bool {
	if strings.Contains(r.URL.RawQuery, "pretty") {
		if p := r.URL.Query().Get("pretty"); p != "" {
			ok, _ := strconv.ParseBool(p)
			return ok
		}
	}
	ua := r.UserAgent()
	return strings.HasPrefix(ua, "curl") || strings.HasPrefix(ua, "Wget") || strings.HasPrefix(ua, "Mozilla/5.0")
}

// NotAcceptable is the 406.
func NotAcceptable(accepted []string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: "only the following media types are accepted: " + strings.Join(accepted, ", "),
	}}
}

// UnsupportedMedia is the 415.
func UnsupportedMedia(accepted []string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format - accepted media types include: " + strings.Join(accepted, ", "),
	}}
}
