package image

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/node/event"
	"sampan.dev/internal/node/image/provider"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Puller makes images present. An image that several containers want at once is pulled by one of them at a time; for the others
// the pull is then a question to the registry.
type Puller struct {
	rt     runtime.Interface
	secret func(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	events *event.Recorder
	verify Verification
	books  *records
	limits *limiter

	providers *provider.Set
	once      sync.Once // the pulls that an earlier run did not see the end of are settled

	mu struct {
		sync.Mutex
		pulling map[string]chan struct{} // by image; closed when that pull is over
	}
}

// Config is what a puller needs.
type Config struct {
	Runtime runtime.Interface
	Secret  func(ctx context.Context, namespace, name string) (*corev1.Secret, error) // reads the image pull secrets of pods
	Events  *event.Recorder
	Dir     string // where it is recorded with whose credentials images were pulled; "": nowhere
	Verify  Verification
	Limits  Limits
	Log     *slog.Logger

	Providers *provider.Set // programs that know credentials of registries; nil: none
}

// New makes a puller.
func New(cfg Config) *Puller {
	p := &Puller{rt: cfg.Runtime, secret: cfg.Secret, events: cfg.Events, verify: cfg.Verify, books: &records{dir: cfg.Dir, log: cfg.Log},
		limits: newLimiter(cfg.Limits), providers: cfg.Providers}
	p.mu.pulling = map[string]chan struct{}{}
	return p
}

// Missing says why the image of a container is not present: the reason and message with which the container waits.
type Missing struct {
	Reason, Message string
	Pulled          bool // a pull was tried and failed, so that the back-off of pulls counts
}

// Want is an image that a pod needs.
type Want struct {
	Image     string // as the spec names it
	Policy    corev1.PullPolicy
	Container string // that runs it; "" for a volume
}

// Ensure makes an image present by its pull policy, and returns the runtime's reference to it, or why it is not present. It records
// the events of that. sandbox is what the runtime is told of the pod.
func (p *Puller) Ensure(ctx context.Context, pod *corev1.Pod, c Want, sandbox *cri.PodSandboxConfig) (string, *Missing) {
	missing := func(event, reason, format string, args ...any) (string, *Missing) {
		m := &Missing{Reason: reason, Message: fmt.Sprintf(format, args...)}
		p.events.Pod(pod, c.Container, corev1.EventTypeWarning, event, "%s", m.Message)
		return "", m
	}
	name, err := tagged(c.Image)
	if err != nil {
		return missing("InspectFailed", "InvalidImageName", "Failed to apply default image tag %q: %v", c.Image, err)
	}
	if c.Policy == corev1.PullAlways {
		return p.pull(ctx, pod, c, name, sandbox)
	}
	p.once.Do(func() { p.settle(ctx) })
	have, err := p.rt.Image(ctx, name)
	if err == nil && have != nil && p.books.mustPull(p.verify, name, have.ID, func() []login { return p.logins(ctx, pod, name) }) {
		have = nil // for this pod it is not there
	}
	switch {
	case err != nil:
		return missing("InspectFailed", "ImageInspectError", "Failed to inspect image %q: %v", name, err)
	case have != nil:
		p.events.Pod(pod, c.Container, corev1.EventTypeNormal, "Pulled", "Container image %q already present on machine and can be accessed by the pod", c.Image)
		return have.ID, nil
	case c.Policy == corev1.PullNever:
		return missing("ErrImageNeverPull", "ErrImageNeverPull", "Container image %q is not present with pull policy of Never", c.Image)
	}
	return p.pull(ctx, pod, c, name, sandbox)
}

// pull asks the registry for an image with each credential until one is taken.
func (p *Puller) pull(ctx context.Context, pod *corev1.Pod, c Want, name string, sandbox *cri.PodSandboxConfig) (string, *Missing) {
	p.events.Pod(pod, c.Container, corev1.EventTypeNormal, "Pulling", "Pulling image %q", c.Image)
	begin := time.Now()
	defer p.turn(ctx, name)()
	defer p.limits.enter(ctx)()
	alone := time.Now()
	var ref string
	var used login
	err := p.books.begin(name)
	if err != nil {
		return "", &Missing{Reason: "ErrImagePull", Message: fmt.Sprintf("Failed to record image pull intent for container image %q: failed to record image pull intent: %v", c.Image, err), Pulled: true}
	}
	if !p.limits.allow() {
		err = errTooMany
	} else {
		for _, used = range p.logins(ctx, pod, name) {
			if ref, err = p.rt.Pull(ctx, name, used.auth, sandbox); err == nil {
				break
			}
		}
	}
	if err == nil {
		p.books.done(name, ref, used)
	} else {
		p.books.failed(name)
	}
	switch {
	case err == nil:
		p.events.Pod(pod, c.Container, corev1.EventTypeNormal, "Pulled", "Successfully pulled image %q in %v (%v including waiting). Image size: %v bytes.",
			c.Image, time.Since(alone).Truncate(time.Millisecond), time.Since(begin).Truncate(time.Millisecond), p.size(ctx, ref))
		return ref, nil
	case ctx.Err() != nil:
		return "", &Missing{Reason: "ErrImagePull", Message: ctx.Err().Error(), Pulled: true}
	}
	p.events.Pod(pod, c.Container, corev1.EventTypeWarning, "Failed", "Failed to pull image %q: %v", c.Image, err)
	reason, message := pullError(c.Image, err)
	return "", &Missing{Reason: reason, Message: message, Pulled: true}
}

// settle ends the pulls that an earlier run did not see the end of.
func (p *Puller) settle(ctx context.Context) {
	p.books.settle(func(image string) string {
		if img, err := p.rt.Image(ctx, image); err == nil && img != nil {
			return img.ID
		}
		return ""
	})
}

// Forget removes what is recorded of images that are gone.
func (p *Puller) Forget(list []runtime.Image) {
	there := map[string]bool{}
	for _, img := range list {
		there[img.ID] = true
	}
	p.books.keep(there, time.Now().Add(-5*time.Minute))
}

// turn waits until nobody else pulls the image and returns the function that ends one's own turn.
func (p *Puller) turn(ctx context.Context, name string) func() {
	for {
		p.mu.Lock()
		other := p.mu.pulling[name]
		if other == nil {
			mine := make(chan struct{})
			p.mu.pulling[name] = mine
			p.mu.Unlock()
			return func() {
				p.mu.Lock()
				delete(p.mu.pulling, name)
				p.mu.Unlock()
				close(mine)
			}
		}
		p.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return func() {}
		}
	}
}

// secrets reads a pod's image pull secrets. Those that cannot be read are named in an event and left out.
func (p *Puller) secrets(ctx context.Context, pod *corev1.Pod) []*corev1.Secret {
	var out []*corev1.Secret
	var missing []string
	for _, ref := range pod.Spec.ImagePullSecrets {
		s, err := p.secret(ctx, pod.Namespace, ref.Name)
		if err != nil {
			missing = append(missing, ref.Name)
			continue
		}
		out = append(out, s)
	}
	if len(missing) > 0 {
		p.events.Pod(pod, "", corev1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
			"Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", strings.Join(missing, ", "))
	}
	return out
}

// size is that of an image in bytes, 0 when the runtime does not say.
func (p *Puller) size(ctx context.Context, ref string) int64 {
	if img, err := p.rt.Image(ctx, ref); err == nil && img != nil {
		return img.Size
	}
	return 0
}

// pullError is the reason and message of a failed pull. The runtime marks two kinds of failure by a prefix (upstream's
// pkg/kubelet/images/image_manager.go, evalCRIPullErr).
func pullError(image string, err error) (reason, message string) {
	text := err.Error()
	for prefix, what := range map[string]string{"RegistryUnavailable": "the registry is unavailable", "SignatureValidationFailed": "the signature validation failed"} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			return prefix, fmt.Sprintf("image pull failed for %s because %s%s", image, what, rest)
		}
	}
	return "ErrImagePull", text
}
