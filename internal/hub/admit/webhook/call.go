package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/admit/match"

	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
)

// answer is what a webhook said.
type answer struct {
	allowed     bool
	result      *metav1.Status
	patch       []byte
	patchType   admissionv1.PatchType // "" where the version does not say
	annotations map[string]string
	warnings    []string
}

// most is how much of an answer is read.
const most = 16 << 20

// ask sends the review and reads the answer. The error is a *called, or the refusal of a dry run.
func (a *asker) ask(ctx context.Context, r *match.Request, h *hook, v *match.Version, mutating bool) (*answer, error) {
	if r.DryRun && !h.harmless {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("admission webhook %q does not support dry run", h.name))
	}
	failed := func(code int32, format string, args ...any) (*answer, error) {
		return nil, &called{hook: h.name, err: fmt.Errorf(format, args...), code: code}
	}
	version := ""
	for _, have := range h.versions {
		if have == "v1" || have == "v1beta1" {
			version = have
			break
		}
	}
	if version == "" {
		return failed(http.StatusBadRequest, "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)")
	}
	uid := uuid.NewUUID()
	body, err := review(r, v, uid, version)
	if err != nil {
		return failed(http.StatusBadRequest, "could not create admission objects: %w", err)
	}
	c, err := a.clients.of(h.to)
	if err != nil {
		return failed(http.StatusInternalServerError, "could not get REST client: %w", err)
	}
	if h.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.timeout)
		defer cancel()
	}
	data, err := c.post(ctx, body)
	if err != nil {
		var status apierrors.APIStatus
		code := int32(http.StatusServiceUnavailable)
		if errors.As(err, &status) {
			code = status.Status().Code
		}
		return failed(code, "failed to call webhook: %w", err)
	}
	out, err := read(data, version, uid, mutating)
	if err != nil {
		return failed(http.StatusServiceUnavailable, "%w", err)
	}
	return out, nil
}

// review is the body of the request, whose objects are encoded once for all webhooks that want them in the same version.
func review(r *match.Request, v *match.Version, uid types.UID, version string) ([]byte, error) {
	object, old, err := v.JSON()
	if err != nil {
		return nil, err
	}
	q := plugincel.CreateAdmissionRequest(r.CEL(v).Attributes, metav1.GroupVersionResource(v.Resource), metav1.GroupVersionKind(v.Kind))
	q.UID = uid
	head, err := json.Marshal(request{AdmissionRequest: *q})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(len(head) + len(object) + len(old) + 128)
	fmt.Fprintf(&b, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/%s","request":`, version)
	b.Write(head[:len(head)-1])
	b.WriteString(`,"object":`)
	b.Write(object)
	b.WriteString(`,"oldObject":`)
	b.Write(old)
	b.WriteString("}}")
	return b.Bytes(), nil
}

// request is an AdmissionRequest without the objects. Both versions have the same fields.
type request struct {
	admissionv1.AdmissionRequest
	Object    *struct{} `json:"object,omitempty"`
	OldObject *struct{} `json:"oldObject,omitempty"`
}

var (
	reviews     = kjson.NewSerializerWithOptions(kjson.DefaultMetaFactory, api.Scheme, api.Scheme, kjson.SerializerOptions{})
	yamlReviews = kjson.NewSerializerWithOptions(kjson.DefaultMetaFactory, api.Scheme, api.Scheme, kjson.SerializerOptions{Yaml: true})
)

// unlike says, as upstream's decoder does, that an answer is of another kind or version than was asked for.
func unlike(is schema.GroupVersionKind, version string) error {
	switch {
	case is.Group != admissionv1.GroupName || is.Kind != "AdmissionReview":
		return fmt.Errorf("no kind %q is registered for version %q in scheme \"pkg/runtime/scheme.go:111\"", is.Kind, is.GroupVersion())
	case is.Version != version:
		return fmt.Errorf("converting (%s.AdmissionReview) to (%s.AdmissionReview): unknown conversion", is.Version, version)
	}
	return nil
}

// read reads an answer to the review of that uid.
func read(data []byte, version string, uid types.UID, mutating bool) (*answer, error) {
	invalid := func(format string, args ...any) (*answer, error) {
		return nil, fmt.Errorf("received invalid webhook response: "+format, args...)
	}
	var into runtime.Object = &admissionv1.AdmissionReview{}
	if version == "v1beta1" {
		into = &admissionv1beta1.AdmissionReview{}
	}
	from := reviews
	if start := bytes.TrimLeft(data, " \t\r\n"); len(start) > 0 && start[0] != '{' {
		from = yamlReviews
	}
	out, gvk, err := from.Decode(data, nil, into)
	if err == nil {
		err = unlike(*gvk, version)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to call webhook: %w", err)
	}
	switch review := out.(type) {
	case *admissionv1.AdmissionReview:
		p := review.Response
		switch {
		case p == nil:
			return invalid("webhook response was absent")
		case p.UID != uid:
			return invalid("expected response.uid=%q, got %q", uid, p.UID)
		}
		if err := checkPatch(p, mutating); err != nil {
			return invalid("%w", err)
		}
		a := &answer{allowed: p.Allowed, result: p.Result, patch: p.Patch, annotations: p.AuditAnnotations, warnings: p.Warnings}
		if p.PatchType != nil {
			a.patchType = *p.PatchType
		}
		return a, nil
	case *admissionv1beta1.AdmissionReview:
		p := review.Response
		if p == nil {
			return invalid("webhook response was absent")
		}
		a := &answer{allowed: p.Allowed, result: p.Result, annotations: p.AuditAnnotations, warnings: p.Warnings}
		if mutating {
			a.patch = p.Patch
		}
		return a, nil
	}
	return invalid("webhook response was absent")
}

// checkPatch holds an answer of v1 to what the other version was lax about.
func checkPatch(p *admissionv1.AdmissionResponse, mutating bool) error {
	switch {
	case !mutating && len(p.Patch) > 0:
		return errors.New("validating webhook may not return response.patch")
	case !mutating && p.PatchType != nil:
		return errors.New("validating webhook may not return response.patchType")
	case len(p.Patch) > 0 && p.PatchType == nil:
		return errors.New("webhook returned response.patch but not response.patchType")
	case len(p.Patch) == 0 && p.PatchType != nil:
		return errors.New("webhook returned response.patchType but not response.patch")
	case p.PatchType != nil && *p.PatchType == "":
		return fmt.Errorf("webhook returned invalid response.patchType of %q", *p.PatchType)
	}
	return nil
}

// post sends a body and returns the body of the answer. What an answer that is none says is in the error, as upstream's client has it.
func (c *caller) post(ctx context.Context, body []byte) ([]byte, error) {
	to := c.url
	if deadline, ok := ctx.Deadline(); ok {
		if left := time.Until(deadline); left > 0 {
			to += "?timeout=" + (left + time.Second - 1).Truncate(time.Second).String()
		}
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Accept", "application/json, */*")
	q.Header.Set("User-Agent", "kube-apiserver-admission")
	if err := c.identity.sign(q); err != nil {
		return nil, err
	}
	res, err := c.http.RoundTrip(q)
	if err != nil {
		return nil, &url.Error{Op: "Post", URL: to, Err: err}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("unexpected error when reading response body. Please retry. Original error: %w", err)
	case len(data) > most:
		return nil, fmt.Errorf("the answer is longer than %d bytes", most)
	case res.StatusCode < 200 || res.StatusCode > 206:
		return nil, unexpected(res, data)
	}
	return data, nil
}

// unexpected is the error of a status that is none of success.
func unexpected(res *http.Response, data []byte) error {
	message := "unknown"
	if t := res.Header.Get("Content-Type"); t == "" || strings.HasPrefix(t, "text/") {
		message = strings.TrimSpace(string(data[:min(len(data), 2048)]))
	}
	err := apierrors.NewGenericServerResponse(res.StatusCode, http.MethodPost, schema.GroupResource{}, "", message, 0, true)
	var status metav1.Status
	if json.Unmarshal(data, &status) == nil && status.Kind == "Status" && status.Status == metav1.StatusFailure {
		return &apierrors.StatusError{ErrStatus: status}
	}
	return err
}
