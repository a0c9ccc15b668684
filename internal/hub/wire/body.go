package wire

import (
	"bytes"
	"cmp"
	"encoding/hex"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/price"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// MaxBody is the largest body that is read, in bytes.
const MaxBody = 3 << 20

// ReadBody reads a body of at most MaxBody bytes. Before it holds n bytes altogether it asks hold for them, which may wait
// or refuse.
func ReadBody(r *http.Request, hold func(n int64) error) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	defer r.Body.Close()
	tooLarge := apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", MaxBody))
	if r.ContentLength > MaxBody {
		return nil, tooLarge
	}
	size := r.ContentLength
	if size <= 0 {
		size = firstRead
	}
	var data []byte
	for {
		if err := hold(size); err != nil {
			return nil, err
		}
		data = slices.Grow(data, int(size)-len(data))
		n, err := io.ReadFull(r.Body, data[len(data):size])
		data = data[:len(data)+n]
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && r.ContentLength <= 0:
			return data, nil
		case err != nil:
			return nil, apierrors.NewBadRequest("reading the body: " + err.Error())
		case r.ContentLength > 0:
			return data, nil
		case size > MaxBody:
			return nil, tooLarge
		}
		size = min(4*size, MaxBody+1)
	}
}

// firstRead is how much of a body of unknown length is read first, in bytes.
const firstRead = 4 << 10

// decoders by format; the strict ones also refuse what they do not know.
type decoders struct{ lax, strict []runtime.Decoder }

var bodies = newDecoders(api.Scheme)

func newDecoders(scheme *runtime.Scheme) decoders {
	var d decoders
	for _, strict := range []bool{false, true} {
		set := []runtime.Decoder{
			JSON:  json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Strict: strict}),
			YAML:  json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: strict}),
			Proto: protobuf.NewSerializer(scheme, scheme),
		}
		if strict {
			d.strict = set
		} else {
			d.lax = set
		}
	}
	return d
}

func (d decoders) of(f Format, strict bool) runtime.Decoder {
	if strict {
		return d.strict[f]
	}
	return d.lax[f]
}

// BodyFormat reads a Content-Type; none means JSON.
func BodyFormat(contentType string) (Format, error) {
	if contentType == "" {
		return JSON, nil
	}
	mt, _, err := mime.ParseMediaType(contentType)
	if err == nil {
		if i := slices.Index(types, mt); i >= 0 {
			return Format(i), nil
		}
	}
	return JSON, UnsupportedMedia(types)
}

// Want says what a body is to be decoded into.
type Want struct {
	Fresh  runtime.Object // a new object of kind GVK
	GVK    schema.GroupVersionKind
	Older  []string                                                       // versions whose fields are the same, and which are taken for GVK's
	Coerce func(obj api.Object, check bool) (unknown []string, err error) // see api.Kind; may be nil
}

// older reports whether a kind is GVK's in one of the older versions.
func (w Want) older(have schema.GroupVersionKind) bool {
	return have.GroupKind() == w.GVK.GroupKind() && slices.Contains(w.Older, have.Version)
}

// Decode reads a body as want says. validation is Ignore, Warn or Strict ("" is Warn) and says what becomes of unknown and
// repeated fields.
func Decode(data []byte, f Format, want Want, validation string, warn func(string)) (runtime.Object, error) {
	fresh, gvk := want.Fresh, want.GVK
	if err := priceOf(data, f, fresh); err != nil {
		return nil, decodeError(err, gvk, &gvk, data)
	}
	strictly := validation != metav1.FieldValidationIgnore
	obj, have, err := bodies.of(f, strictly).Decode(data, &gvk, fresh)
	if have != nil && runtime.IsNotRegisteredError(err) && want.older(*have) {
		known := runtime.NewScheme()
		known.AddKnownTypeWithName(*have, fresh)
		obj, have, err = newDecoders(known).of(f, strictly).Decode(data, &gvk, fresh)
	}
	if want.Coerce != nil && obj == fresh {
		err = want.coerced(err, strictly)
	}
	if err != nil {
		strict, isStrict := runtime.AsStrictDecodingError(err)
		if !isStrict || obj == nil || validation == metav1.FieldValidationStrict {
			return nil, decodeError(err, gvk, have, data)
		}
		Warnings(strict.Errors(), warn)
	}
	if have.Kind != gvk.Kind {
		return nil, decodeError(fmt.Errorf("converting (%s.%s) to (%s.%s): unknown conversion", have.Version, have.Kind, groupName(gvk.Group), gvk.Kind), gvk, have, data)
	}
	if have.GroupVersion() != gvk.GroupVersion() && !want.older(*have) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)", have.GroupVersion(), gvk.GroupVersion()))
	}
	if obj != fresh {
		return nil, decodeError(fmt.Errorf("converting (%s.%s) to (%s.%s): unknown conversion", have.Version, have.Kind, groupName(gvk.Group), gvk.Kind), gvk, have, data)
	}
	return obj, nil
}

// coerced makes what was decoded with err, which is nil or strict, an object of the kind, and adds what is unknown of it to err.
func (w Want) coerced(err error, check bool) error {
	obj, ok := w.Fresh.(api.Object)
	if !ok {
		return err
	}
	unknown, cerr := w.Coerce(obj, check)
	if cerr != nil || len(unknown) == 0 {
		return cmp.Or(cerr, err)
	}
	var errs []error
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		errs = strict.Errors()
	}
	for _, path := range unknown {
		errs = append(errs, fmt.Errorf("unknown field %q", path))
	}
	return runtime.NewStrictDecodingError(errs)
}

// priceOf refuses a body that would cost too much to decode.
func priceOf(data []byte, f Format, into any) error {
	switch f {
	case Proto:
		return price.Proto(data, into)
	case YAML:
		return price.YAML(data, into)
	}
	return price.JSON(data, into)
}

// groupName is the package that upstream keeps the group's kinds in.
func groupName(g string) string {
	if g == "" || g == "events.k8s.io" {
		return "core"
	}
	g, _, _ = strings.Cut(g, ".")
	return g
}

// decodeError says why a body is not what was expected, in upstream's words.
func decodeError(err error, want schema.GroupVersionKind, have *schema.GroupVersionKind, data []byte) error {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return err
	}
	if have != nil && have.Kind != "" {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", have.Kind, have.Version, want.Kind, err))
	}
	return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %v (%s)", want.Kind, err, summary(data, 30)))
}

func summary(data []byte, max int) string {
	if len(data) == 0 {
		return "<empty>"
	}
	dots := ""
	show := data
	if len(data) > max {
		show, dots = data[:max], " ..."
	}
	if data[0] == '{' {
		return string(show) + dots
	}
	return hex.EncodeToString(show) + dots
}

// Warnings sends what strict decoding found, a line each.
func Warnings(errs []error, warn func(string)) {
	for _, e := range errs {
		text := e.Error()
		trimmed := strings.TrimPrefix(strings.TrimPrefix(text, "error converting YAML to JSON: "), "yaml: unmarshal errors:\n")
		if trimmed == text {
			warn(text)
			continue
		}
		for line := range strings.SplitSeq(trimmed, "\n") {
			warn(strings.TrimSpace(line))
		}
	}
}

// DecodeDeleteOptions reads a body that holds DeleteOptions. Clients name any group and version they like in it.
func DecodeDeleteOptions(data []byte, f Format, opts *metav1.DeleteOptions) error {
	if err := priceOf(data, f, opts); err != nil {
		return err
	}
	kind := "DeleteOptions"
	switch f {
	case Proto:
		var env runtime.Unknown
		body, ok := bytes.CutPrefix(data, magic)
		if !ok {
			return apierrors.NewBadRequest("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
		}
		if err := env.Unmarshal(body); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		if err := opts.Unmarshal(env.Raw); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		kind = env.Kind
	default:
		if f == YAML {
			var err error
			if data, err = yaml.YAMLToJSON(data); err != nil {
				return apierrors.NewBadRequest(err.Error())
			}
		}
		if err := stdjson.Unmarshal(data, &struct {
			APIVersion string `json:"apiVersion,omitempty"`
			Kind       string `json:"kind,omitempty"`
		}{}); err != nil {
			return apierrors.NewBadRequest("couldn't get version/kind; json parse error: " + err.Error())
		}
		if err := kjson.UnmarshalCaseSensitivePreserveInts(data, opts); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		if opts.Kind != "" {
			kind = opts.Kind
		}
	}
	if kind != "DeleteOptions" && kind != "" {
		version := opts.APIVersion
		if version == "" {
			version = "meta.k8s.io/v1"
		}
		return apierrors.NewBadRequest(fmt.Sprintf("no kind %q is registered for version %q in scheme \"pkg/runtime/scheme.go:111\"", kind, version))
	}
	opts.TypeMeta = metav1.TypeMeta{}
	return nil
}
