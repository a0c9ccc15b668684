package provider

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	configv1 "k8s.io/kubelet/config/v1"
	providerv1 "k8s.io/kubelet/pkg/apis/credentialprovider/v1"
)

// Login is what a program says of a registry.
type Login struct {
	Registry           string // the pattern that it is for
	Username, Password string
	Account            *Account // whose token the program was given; nil: nobody's, and the login is every pod's of the node
}

// Account is a service account.
type Account struct {
	UID             types.UID
	Namespace, Name string
}

// Hub is what is asked of the API server for the providers that want a token.
type Hub struct {
	Account func(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error)
	Token   func(ctx context.Context, pod *corev1.Pod, req *authv1.TokenRequest) (*authv1.TokenRequest, error)
}

// Set is the configured providers and what they have said. Every goroutine may use it; a nil Set has none.
type Set struct {
	bin  string
	list []configv1.CredentialProvider
	hub  Hub
	log  *slog.Logger

	mu struct {
		sync.Mutex
		kept   map[string]kept
		asking map[string]chan struct{} // questions under way; closed when they are answered
	}
}

// kept is an answer that is still good.
type kept struct {
	logins []Login
	until  time.Time
}

// New makes a set of the providers of Read.
func New(list []configv1.CredentialProvider, bin string, hub Hub, log *slog.Logger) *Set {
	s := &Set{bin: bin, list: list, hub: hub, log: log}
	s.mu.kept, s.mu.asking = map[string]kept{}, map[string]chan struct{}{}
	return s
}

// Logins are what the providers that are configured for an image say of it, for a pod. A provider that fails is named in the log, and the
// others count: the image may be anybody's.
func (s *Set) Logins(ctx context.Context, pod *corev1.Pod, image string) []Login {
	if s == nil {
		return nil
	}
	var out []Login
	for i := range s.list {
		p := &s.list[i]
		if !slices.ContainsFunc(p.MatchImages, func(pattern string) bool { return Matches(pattern, image) }) {
			continue
		}
		logins, err := s.ask(ctx, p, pod, image)
		if err != nil {
			s.log.Error("Failed to provide credentials for image", "provider", p.Name, "image", image, "pod", pod.Namespace+"/"+pod.Name, "error", err)
			continue
		}
		out = append(out, logins...)
	}
	return slices.DeleteFunc(out, func(l Login) bool { return !Matches(l.Registry, image) })
}

// identity is for whom a provider is asked.
type identity struct {
	account     *Account
	token       string
	annotations map[string]string
	key         string // what of it the provider's answers depend on
}

// ask asks one provider, or remembers what it has said.
func (s *Set) ask(ctx context.Context, p *configv1.CredentialProvider, pod *corev1.Pod, image string) ([]Login, error) {
	who, able, err := s.identify(ctx, p, pod)
	if err != nil || !able {
		return nil, err
	}
	question := strings.Join([]string{p.Name, image, who.key, hashOf(who.token)}, "\x00")
	for {
		if logins, ok := s.remembered(p.Name, image, who.key); ok {
			return logins, nil
		}
		done, other := s.turn(question)
		if done != nil {
			defer done()
			break
		}
		select { // somebody asks just that
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	answer, err := run(ctx, s.bin, p, providerv1.CredentialProviderRequest{Image: image, ServiceAccountToken: who.token, ServiceAccountAnnotations: who.annotations})
	if err != nil {
		return nil, fmt.Errorf("failed to get credential from external registry credential provider: %w", err)
	}
	if who.token != "" && p.TokenAttributes.CacheType != configv1.TokenServiceAccountTokenCacheType {
		for _, a := range answer.Auth {
			if a.Password == who.token {
				return nil, errors.New("credential provider plugin returned the service account token as the password which is not allowed when service account cache type is not set to 'Token'")
			}
		}
	}
	return s.keep(p, image, who, answer)
}

// keep remembers an answer for as long as it says, and returns its logins.
func (s *Set) keep(p *configv1.CredentialProvider, image string, who identity, answer *providerv1.CredentialProviderResponse) ([]Login, error) {
	var about string
	switch answer.CacheKeyType {
	case providerv1.ImagePluginCacheKeyType:
		about = image
	case providerv1.RegistryPluginCacheKeyType:
		about = registry(image)
	case providerv1.GlobalPluginCacheKeyType:
		about = everything
	default:
		return nil, fmt.Errorf("credential provider plugin did not return a valid cacheKeyType: %s", answer.CacheKeyType)
	}
	var logins []Login
	for _, name := range slices.Sorted(maps.Keys(answer.Auth)) {
		logins = append(logins, Login{Registry: name, Username: answer.Auth[name].Username, Password: answer.Auth[name].Password, Account: who.account})
	}
	life := p.DefaultCacheDuration.Duration
	if answer.CacheDuration != nil {
		life = answer.CacheDuration.Duration
	}
	if life > 0 {
		now := time.Now()
		s.mu.Lock()
		defer s.mu.Unlock()
		maps.DeleteFunc(s.mu.kept, func(_ string, k kept) bool { return !now.Before(k.until) })
		s.mu.kept[keyOf(p.Name, about, who.key)] = kept{logins, now.Add(life)}
	}
	return logins, nil
}

// everything is what an answer is about that holds for all images. No image is called so.
const everything = "<global>"

func keyOf(provider, about, who string) string {
	return strings.Join([]string{provider, about, who}, "\x00")
}

func (s *Set) remembered(provider, image, who string) ([]Login, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, about := range []string{image, registry(image), everything} {
		if k, ok := s.mu.kept[keyOf(provider, about, who)]; ok && time.Now().Before(k.until) {
			return k.logins, true
		}
	}
	return nil, false
}

// turn takes a question on, with a function that says that it is answered, or returns what is closed when somebody else's is.
func (s *Set) turn(question string) (done func(), other <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.mu.asking[question]; c != nil {
		return nil, c
	}
	c := make(chan struct{})
	s.mu.asking[question] = c
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.mu.asking, question)
		close(c)
	}, nil
}

// identify says for whom a provider is asked. It is not to be asked where it takes an account, or annotations of it, that the pod has not.
func (s *Set) identify(ctx context.Context, p *configv1.CredentialProvider, pod *corev1.Pod) (who identity, able bool, err error) {
	a, name := p.TokenAttributes, pod.Spec.ServiceAccountName
	if a == nil || name == "" {
		return who, a == nil || !*a.RequireServiceAccount, nil
	}
	sa, err := s.hub.Account(ctx, pod.Namespace, name)
	if err != nil {
		return who, false, fmt.Errorf("failed to get service account: %w", err)
	}
	who.annotations = map[string]string{}
	for _, k := range a.RequiredServiceAccountAnnotationKeys {
		v, ok := sa.Annotations[k]
		if !ok {
			return who, false, nil
		}
		who.annotations[k] = v
	}
	for _, k := range a.OptionalServiceAccountAnnotationKeys {
		if v, ok := sa.Annotations[k]; ok {
			who.annotations[k] = v
		}
	}
	req := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{Audiences: []string{a.ServiceAccountTokenAudience},
		BoundObjectRef: &authv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}}}
	req.UID = sa.UID
	res, err := s.hub.Token(ctx, pod, req)
	if err != nil {
		return who, false, fmt.Errorf("failed to get service account token: %w", err)
	}
	who.token = res.Status.Token
	who.account = &Account{UID: sa.UID, Namespace: pod.Namespace, Name: name}
	parts := []string{pod.Namespace, name, string(sa.UID)}
	for _, k := range slices.Sorted(maps.Keys(who.annotations)) {
		parts = append(parts, k, who.annotations[k])
	}
	if a.CacheType == configv1.TokenServiceAccountTokenCacheType {
		parts = append(parts, hashOf(who.token))
	}
	who.key = strings.Join(parts, "\x01")
	return who, true, nil
}

func hashOf(text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))
}
