package rest

import (
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/verb"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
)

// connect admits a stream and hands it over.
func (s *Server) connect(w http.ResponseWriter, r *http.Request, x *exchange, req *verb.Request) error {
	if s.cfg.Connect == nil {
		return apierrors.NewServiceUnavailable("streams are not served here")
	}
	stream, rest := x.stream(), x.route.Rest
	if req.Verb != "create" && stream.Acts != nil && stream.Acts(rest) {
		a := verb.AttributesOf(req)
		a.Verb = "create"
		if err := s.cfg.Verbs.Authorize(r.Context(), a); err != nil {
			return err
		}
	}
	if !stream.Reads {
		attrs := &admit.Attributes{
			Kind: req.Kind, Subresource: req.Ref.Subresource, Operation: admit.Connect, Namespace: req.Ref.Namespace,
			Name: req.Ref.Name, User: req.User, Warn: req.Warn, Annotate: req.Annotate,
		}
		if stream.Options != nil {
			options := stream.Options()
			read(options, r.URL.Query(), rest)
			options.GetObjectKind().SetGroupVersionKind(attrs.ObjectKind())
			attrs.Object = options
		}
		chain := s.cfg.Admission
		if err := chain.Admit(r.Context(), attrs); err != nil {
			return err
		}
		if err := chain.Validate(r.Context(), attrs); err != nil {
			return err
		}
	}
	return s.cfg.Connect.Connect(w, r, req, rest)
}

// read fills the options of a stream from the query, as upstream's conversions do: of several values the first counts, a flag is on
// when it is there and is not "0" or "false", and the path of a proxied request stands in its options too. What is no number is
// left out here; whoever carries out the stream refuses it.
func read(options runtime.Object, query url.Values, path string) {
	v := reflect.ValueOf(options).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		field := v.Field(i)
		if name == "path" && field.Kind() == reflect.String {
			field.SetString(path)
		}
		values := query[name]
		if name == "" || len(values) == 0 {
			continue
		}
		switch into := field.Addr().Interface().(type) {
		case *string:
			*into = values[0]
		case *bool:
			*into = values[0] != "0" && !strings.EqualFold(values[0], "false")
		case *[]string:
			*into = values
		case *[]int32:
			for _, text := range values {
				if n, err := strconv.ParseInt(text, 10, 32); err == nil {
					*into = append(*into, int32(n))
				}
			}
		}
	}
}
