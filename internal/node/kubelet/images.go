package kubelet

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/node/podstate"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Image pull back-off, upstream's: 10 s doubling to 5 min.
const (
	pullBackoffFirst = 10 * time.Second
	pullBackoffMax   = 300 * time.Second
	// pullErrorShown is how long ErrImagePull is shown before it becomes ImagePullBackOff.
	pullErrorShown = 2 * time.Second
)

// pullState remembers the failed pulls of one container's image.
type pullState struct {
	image           string
	wait            time.Duration
	until, shown    time.Time
	told            bool // of the back-off
	reason, message string
}

// images pulls. An image that several containers want at once is pulled once.
type images struct {
	k  *Kubelet
	mu struct {
		sync.Mutex
		pulling map[string]chan struct{}
	}
}

func newImages(k *Kubelet) *images {
	i := &images{k: k}
	i.mu.pulling = map[string]chan struct{}{}
	return i
}

// one waits until nobody else pulls the image and returns the function that ends one's own turn.
func (i *images) one(ctx context.Context, image string) func() {
	for {
		i.mu.Lock()
		ch := i.mu.pulling[image]
		if ch == nil {
			ch = make(chan struct{})
			i.mu.pulling[image] = ch
			i.mu.Unlock()
			return func() {
				i.mu.Lock()
				delete(i.mu.pulling, image)
				i.mu.Unlock()
				close(ch)
			}
		}
		i.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			return func() {}
		}
	}
}

// ensureImage makes the image of a container present by its pull policy and returns its reference, or why it is not.
func (w *worker) ensureImage(ctx context.Context, pod *corev1.Pod, c *corev1.Container, sb *cri.PodSandboxConfig) (string, *podstate.Waiting) {
	k := w.k
	image, err := tagged(c.Image)
	if err != nil {
		msg := fmt.Sprintf("Failed to apply default image tag %q: %v", c.Image, err)
		k.events.pod(pod, c.Name, corev1.EventTypeWarning, "InspectFailed", "%s", msg)
		w.holdOff(c)
		return "", &podstate.Waiting{Reason: "InvalidImageName", Message: msg}
	}
	if c.ImagePullPolicy != corev1.PullAlways {
		img, err := k.rt.Image(ctx, image)
		switch {
		case err != nil:
			msg := fmt.Sprintf("Failed to inspect image %q: %v", image, err)
			k.events.pod(pod, c.Name, corev1.EventTypeWarning, "InspectFailed", "%s", msg)
			w.holdOff(c)
			return "", &podstate.Waiting{Reason: "ImageInspectError", Message: msg}
		case img != nil:
			k.events.pod(pod, c.Name, corev1.EventTypeNormal, "Pulled", "Container image %q already present on machine and can be accessed by the pod", c.Image)
			delete(w.pulls, c.Name)
			return img.ID, nil
		case c.ImagePullPolicy == corev1.PullNever:
			msg := fmt.Sprintf("Container image %q is not present with pull policy of Never", c.Image)
			k.events.pod(pod, c.Name, corev1.EventTypeWarning, "ErrImageNeverPull", "%s", msg)
			w.holdOff(c)
			return "", &podstate.Waiting{Reason: "ErrImageNeverPull", Message: msg}
		}
	}
	return w.pull(ctx, pod, c, image, sb)
}

func (w *worker) pull(ctx context.Context, pod *corev1.Pod, c *corev1.Container, image string, sb *cri.PodSandboxConfig) (string, *podstate.Waiting) {
	k := w.k
	k.events.pod(pod, c.Name, corev1.EventTypeNormal, "Pulling", "Pulling image %q", c.Image)
	begin := time.Now()
	defer k.images.one(ctx, image)()
	alone := time.Now()
	var ref string
	var err error
	for _, auth := range w.credentials(ctx, pod, image) {
		if ref, err = k.rt.Pull(ctx, image, auth, sb); err == nil {
			break
		}
	}
	if err == nil {
		delete(w.pulls, c.Name)
		size := int64(0)
		if img, err := k.rt.Image(ctx, ref); err == nil && img != nil {
			size = img.Size
		}
		k.events.pod(pod, c.Name, corev1.EventTypeNormal, "Pulled", "Successfully pulled image %q in %v (%v including waiting). Image size: %v bytes.",
			c.Image, time.Since(alone).Truncate(time.Millisecond), time.Since(begin).Truncate(time.Millisecond), size)
		return ref, nil
	}
	if ctx.Err() != nil {
		return "", &podstate.Waiting{Reason: "ErrImagePull", Message: ctx.Err().Error()}
	}
	k.events.pod(pod, c.Name, corev1.EventTypeWarning, "Failed", "Failed to pull image %q: %v", c.Image, err)
	p := w.pulls[c.Name]
	if p == nil || p.image != c.Image {
		p = &pullState{image: c.Image, wait: pullBackoffFirst / 2}
		w.pulls[c.Name] = p
	}
	now := time.Now()
	p.wait = min(2*p.wait, pullBackoffMax)
	p.until, p.shown, p.told = now.Add(p.wait), now.Add(pullErrorShown), false
	p.reason, p.message = pullError(c.Image, err)
	return "", &podstate.Waiting{Reason: p.reason, Message: p.message}
}

// pullError classifies the error of a pull.
func pullError(image string, err error) (reason, message string) {
	text := err.Error()
	for prefix, what := range map[string]string{"RegistryUnavailable": "the registry is unavailable", "SignatureValidationFailed": "the signature validation failed"} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			return prefix, fmt.Sprintf("image pull failed for %s because %s%s", image, what, rest)
		}
	}
	return "ErrImagePull", text
}

var imageRef = regexp.MustCompile(`^(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?` +
	`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`)

// tagged checks an image name and adds :latest to one with neither tag nor digest.
func tagged(image string) (string, error) {
	m := imageRef.FindStringSubmatch(image)
	if m == nil {
		return "", fmt.Errorf("couldn't parse image name %q: invalid reference format", image)
	}
	if m[1] == "" && m[2] == "" {
		return image + ":latest", nil
	}
	return image, nil
}

// registryPath is the image without tag and digest, as keys of docker's configuration name it.
func registryPath(image string) string {
	name, _, _ := strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	host, rest, ok := strings.Cut(name, "/")
	switch {
	case !ok:
		return "docker.io/library/" + name
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		return "docker.io/" + name
	}
	return host + "/" + rest
}

// credentials are what to try for an image, most specific first: those of the pod's imagePullSecrets that fit it, or none.
func (w *worker) credentials(ctx context.Context, pod *corev1.Pod, image string) []*cri.AuthConfig {
	type entry struct {
		key  string
		auth *cri.AuthConfig
	}
	var found []entry
	var missing []string
	for _, ref := range pod.Spec.ImagePullSecrets {
		s, err := w.k.objects.Secret(ctx, pod.Namespace, ref.Name)
		if err != nil {
			missing = append(missing, ref.Name)
			continue
		}
		for key, auth := range dockerAuths(s) {
			if authFits(key, registryPath(image)) {
				found = append(found, entry{key, auth})
			}
		}
	}
	if len(missing) > 0 {
		w.k.events.pod(pod, "", corev1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
			"Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", strings.Join(missing, ", "))
	}
	sort.SliceStable(found, func(i, j int) bool { return len(found[i].key) > len(found[j].key) })
	if len(found) == 0 {
		return []*cri.AuthConfig{nil}
	}
	out := make([]*cri.AuthConfig, len(found))
	for i, e := range found {
		out[i] = e.auth
	}
	return out
}

// dockerAuths reads the credentials of a docker registry secret by registry.
func dockerAuths(s *corev1.Secret) map[string]*cri.AuthConfig {
	type login struct{ Username, Password, Auth, IdentityToken string }
	var logins map[string]login
	switch s.Type {
	case corev1.SecretTypeDockerConfigJson:
		var cfg struct{ Auths map[string]login }
		if json.Unmarshal(s.Data[corev1.DockerConfigJsonKey], &cfg) == nil {
			logins = cfg.Auths
		}
	case corev1.SecretTypeDockercfg:
		_ = json.Unmarshal(s.Data[corev1.DockerConfigKey], &logins)
	}
	out := map[string]*cri.AuthConfig{}
	for key, l := range logins {
		a := &cri.AuthConfig{Username: l.Username, Password: l.Password, IdentityToken: l.IdentityToken}
		if b, err := base64.StdEncoding.DecodeString(l.Auth); err == nil && a.Username == "" {
			a.Username, a.Password, _ = strings.Cut(string(b), ":")
		}
		out[key] = a
	}
	return out
}

// authFits reports whether a key of docker's configuration ("https://index.docker.io/v1/", "*.example.com/team") covers an
// image path.
func authFits(key, image string) bool {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	key = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(key, "/"), "/v1"), "/v2")
	if key == "index.docker.io" {
		key = "docker.io"
	}
	keyHost, keyPath, _ := strings.Cut(key, "/")
	host, rest, _ := strings.Cut(image, "/")
	kparts, parts := strings.Split(keyHost, "."), strings.Split(host, ".")
	if len(kparts) != len(parts) {
		return false
	}
	for i := range kparts {
		if ok, err := path.Match(kparts[i], parts[i]); err != nil || !ok {
			return false
		}
	}
	return keyPath == "" || rest == keyPath || strings.HasPrefix(rest, keyPath+"/")
}
