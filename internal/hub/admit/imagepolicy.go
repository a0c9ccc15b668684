package admit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"sampan.dev/internal/hub/callout"

	corev1 "k8s.io/api/core/v1"
	imagepolicyv1alpha1 "k8s.io/api/imagepolicy/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"sigs.k8s.io/yaml"
)

// Images are the settings of ImagePolicyWebhook: whom it asks, for how long it remembers the answers, and what holds when there is none.
type Images struct {
	Ask             func(ctx context.Context, review, answer any) error
	Allowed, Denied time.Duration
	DefaultAllow    bool
}

// imagePolicy asks a webhook about the images of pods. It remembers as many answers as upstream's.
type imagePolicy struct {
	set     *Images
	answers *utilcache.LRUExpireCache
}

const (
	imageAnswers  = 1024
	imageAudit    = "imagepolicywebhook.image-policy.k8s.io/"
	imageKeys     = ".image-policy.k8s.io/" // of the annotations that the webhook is shown
	imageOpenKey  = "alpha.image-policy.k8s.io/failed-open"
	imageOpenedBy = imageAudit + "failed-open"
)

func newImagePolicy(set *Images) *imagePolicy {
	return &imagePolicy{set, utilcache.NewLRUExpireCache(imageAnswers)}
}

func (*imagePolicy) Name() string { return "ImagePolicyWebhook" }

func (p *imagePolicy) Validate(ctx context.Context, a *Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || a.Operation != Create && a.Operation != Update || !a.is("", "pods", "") && !a.is("", "pods", "ephemeralcontainers") {
		return nil
	}
	spec := imagepolicyv1alpha1.ImageReviewSpec{Annotations: map[string]string{}, Namespace: a.Namespace}
	for k, v := range pod.Annotations {
		if strings.Contains(k, imageKeys) {
			spec.Annotations[k] = v
		}
	}
	for _, image := range imagesOf(pod, a.Subresource) {
		spec.Containers = append(spec.Containers, imagepolicyv1alpha1.ImageReviewContainerSpec{Image: image})
	}
	status, err := p.review(ctx, spec)
	if err != nil {
		if !p.set.DefaultAllow {
			return Forbidden(a, err)
		}
		a.annotate(imageOpenedBy, "true")
		annotations := maps.Clone(pod.Annotations)
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[imageOpenKey], pod.Annotations = "true", annotations
		return nil
	}
	for k, v := range status.AuditAnnotations {
		a.annotate(imageAudit+k, v)
	}
	switch {
	case status.Allowed:
		return nil
	case status.Reason != "":
		return forbidden(a, "image policy webhook backend denied one or more images: %s", status.Reason)
	}
	return Forbidden(a, errors.New("one or more images rejected by webhook backend"))
}

// imagesOf are the images that a write of a pod, or of its ephemeral containers, names.
func imagesOf(pod *corev1.Pod, subresource string) []string {
	var out []string
	if subresource != "" {
		for _, c := range pod.Spec.EphemeralContainers {
			out = append(out, c.Image)
		}
		return out
	}
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			out = append(out, list[i].Image)
		}
	}
	return out
}

// review is what the webhook says, or has said lately of the same.
func (p *imagePolicy) review(ctx context.Context, spec imagepolicyv1alpha1.ImageReviewSpec) (imagepolicyv1alpha1.ImageReviewStatus, error) {
	key, err := json.Marshal(spec)
	if err != nil {
		return imagepolicyv1alpha1.ImageReviewStatus{}, err
	}
	if known, ok := p.answers.Get(string(key)); ok {
		return known.(imagepolicyv1alpha1.ImageReviewStatus), nil
	}
	asked := imagepolicyv1alpha1.ImageReview{TypeMeta: metav1.TypeMeta{Kind: "ImageReview", APIVersion: imagepolicyv1alpha1.SchemeGroupVersion.String()}, Spec: spec}
	var said imagepolicyv1alpha1.ImageReview
	if err := p.set.Ask(ctx, &asked, &said); err != nil {
		return said.Status, err
	}
	keep := p.set.Denied
	if said.Status.Allowed {
		keep = p.set.Allowed
	}
	p.answers.Add(string(key), said.Status, keep)
	return said.Status, nil
}

// readImages reads what says whom to ask about images: JSON or YAML without a kind.
func readImages(out *Settings, text []byte) error {
	var conf struct {
		ImagePolicy struct {
			KubeConfigFile string `json:"kubeConfigFile"`
			AllowTTL       int64  `json:"allowTTL"`
			DenyTTL        int64  `json:"denyTTL"`
			RetryBackoff   int64  `json:"retryBackoff"`
			DefaultAllow   bool   `json:"defaultAllow"`
		} `json:"imagePolicy"`
	}
	if len(text) == 0 {
		return nil
	}
	if err := yaml.Unmarshal(text, &conf); err != nil {
		return err
	}
	c := &conf.ImagePolicy
	set := &Images{DefaultAllow: c.DefaultAllow}
	pause, err := spell(c.RetryBackoff, time.Millisecond, time.Nanosecond, 5*time.Minute, 500*time.Millisecond)
	if err != nil {
		return err
	}
	if set.Allowed, err = spell(c.AllowTTL, time.Second, time.Second, 30*time.Minute, 5*time.Minute); err != nil {
		return err
	}
	if set.Denied, err = spell(c.DenyTTL, time.Second, time.Second, 30*time.Minute, 30*time.Second); err != nil {
		return err
	}
	client, err := callout.New(callout.Config{File: c.KubeConfigFile, Backoff: callout.Backoff{First: pause, Times: callout.DefaultBackoff.Times}})
	if err != nil {
		return err
	}
	set.Ask = client.Post
	out.Images = set
	return nil
}

// spell is so many units: -1 is none at all, 0 what is usual.
func spell(n int64, unit, least, most, usual time.Duration) (time.Duration, error) {
	switch d := time.Duration(n) * unit; {
	case n == -1:
		return 0, nil
	case n == 0:
		return usual, nil
	case d < least || d > most:
		return 0, fmt.Errorf("valid value is between %v and %v, got %v", least, most, d)
	default:
		return d, nil
	}
}
