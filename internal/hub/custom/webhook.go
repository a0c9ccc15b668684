package custom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"sampan.dev/internal/api/apiextensions"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/transport"
)

// Caller asks a webhook: it sends a body to where client says and returns the body of the answer.
type Caller func(ctx context.Context, client *apiextensionsv1.WebhookClientConfig, body []byte) ([]byte, error)

// webhook is the converter of definitions whose versions another program converts.
type webhook struct {
	call    Caller
	client  *apiextensionsv1.WebhookClientConfig
	reviews []string // versions of ConversionReview that the program knows, the one it likes best first
}

// converter is what converts between the versions of a definition.
func (r *Room) converter(d *apiextensions.Definition) converter {
	c := d.Spec.Conversion
	if c == nil || c.Strategy != apiextensionsv1.WebhookConverter || c.Webhook == nil || c.Webhook.ClientConfig == nil {
		return none{}
	}
	w := c.Webhook.DeepCopy()
	return webhook{r.cfg.Call, w.ClientConfig, w.ConversionReviewVersions}
}

// validBundle reports whether certificates can be read.
func validBundle(pem []byte) bool {
	_, err := transport.TLSConfigFor(&transport.Config{TLS: transport.TLSConfig{CAData: pem}})
	return err == nil
}

// review is a ConversionReview; both versions of it have the same fields.
type review struct {
	Kind       string    `json:"kind"`
	APIVersion string    `json:"apiVersion"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID               types.UID         `json:"uid"`
	DesiredAPIVersion string            `json:"desiredAPIVersion"`
	Objects           []json.RawMessage `json:"objects"`
}

type response struct {
	UID              types.UID         `json:"uid"`
	ConvertedObjects []json.RawMessage `json:"convertedObjects"`
	Result           metav1.Status     `json:"result"`
}

const reviewGroup = "apiextensions.k8s.io/"

// convert implements converter. Its errors are upstream's.
func (w webhook) convert(ctx context.Context, obj *unstructured.Unstructured, to kschema.GroupVersion) (*unstructured.Unstructured, error) {
	if isEmpty(obj) {
		return none{}.convert(ctx, obj, to)
	}
	failed := func(format string, args ...any) (*unstructured.Unstructured, error) {
		return nil, fmt.Errorf("conversion webhook for %v "+format, append([]any{obj.GroupVersionKind()}, args...)...)
	}
	version := w.version()
	if version == "" {
		return nil, errors.New("no supported conversion review versions")
	}
	data, err := obj.MarshalJSON()
	if err != nil {
		return nil, err
	}
	uid := uuid.NewUUID()
	body, err := json.Marshal(review{
		Kind: "ConversionReview", APIVersion: reviewGroup + version,
		Request: &request{UID: uid, DesiredAPIVersion: to.String(), Objects: []json.RawMessage{data}},
	})
	if err != nil {
		return nil, err
	}
	if w.call == nil {
		return failed("failed: no webhook can be asked from here")
	}
	data, err = w.call(ctx, w.client, body)
	if err != nil {
		return failed("failed: %w", err)
	}
	objects, err := converted(data, version, uid)
	switch {
	case err != nil:
		return failed("failed: %w", err)
	case len(objects) != 1:
		return failed("returned %d objects, expected 1", len(objects))
	}
	out := &unstructured.Unstructured{}
	if err := out.UnmarshalJSON(objects[0]); err != nil {
		return nil, err
	}
	if got := out.GroupVersionKind().GroupVersion(); got != to {
		return failed("returned invalid object at index 0: invalid groupVersion (expected %v, received %v)", to, got)
	}
	if want, got := obj.GetKind(), out.GetKind(); got != want {
		return failed("returned invalid object at index 0: invalid kind (expected %v, received %v)", want, got)
	}
	if err := sameIdentity(obj, out); err != nil {
		return failed("returned invalid object: %w", err)
	}
	if err := restoreMeta(obj, out); err != nil {
		return failed("returned invalid metadata: %w", err)
	}
	return out, nil
}

// version is that of the review that is sent, "" when the program knows none that there is.
func (w webhook) version() string {
	for _, v := range w.reviews {
		if v == "v1" || v == "v1beta1" {
			return v
		}
	}
	return ""
}

// converted reads an answer to the request of that uid. Of the older version neither kind nor uid is looked at.
func converted(data []byte, version string, uid types.UID) ([]json.RawMessage, error) {
	var r review
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if version == "v1" {
		want := kschema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "ConversionReview"}
		if got := kschema.FromAPIVersionAndKind(r.APIVersion, r.Kind); got != want {
			return nil, fmt.Errorf("expected webhook response of %v, got %v", want.String(), got.String())
		}
	}
	switch p := r.Response; {
	case p == nil:
		return nil, errors.New("no response provided")
	case version == "v1" && p.UID != uid:
		return nil, fmt.Errorf("expected response.uid=%q, got %q", uid, p.UID)
	case p.Result.Status != metav1.StatusSuccess && p.Result.Message != "":
		return nil, errors.New(p.Result.Message)
	case p.Result.Status != metav1.StatusSuccess:
		return nil, fmt.Errorf("response.result.status was '%s', not 'Success'", p.Result.Status)
	}
	return r.Response.ConvertedObjects, nil
}

// isEmpty reports whether an object has a kind and nothing else.
func isEmpty(obj *unstructured.Unstructured) bool {
	_, kind := obj.Object["kind"]
	_, version := obj.Object["apiVersion"]
	return kind && version && len(obj.Object) == 2
}
