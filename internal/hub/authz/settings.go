package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/hub/callout"
	"sampan.dev/internal/hub/reload"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/load"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
)

// Modes are the authorizers that can be named, in upstream's order.
var Modes = []string{"AlwaysAllow", "AlwaysDeny", "ABAC", "Webhook", "RBAC", "Node"}

// Settings say which authorizers there are, and in which order: by upstream's flags, or by an AuthorizationConfiguration, which is
// followed while [Chain.Run] runs. Make one with Read.
type Settings struct {
	flags    Flags
	data     []byte // of the file, as it was read first
	first    *apiserver.AuthorizationConfiguration
	abac     abac
	compiler authorizationcel.Compiler // nil until a webhook with conditions needs one
}

// Flags are upstream's --authorization-*.
type Flags struct {
	Modes           []string
	File            string // AuthorizationConfiguration
	PolicyFile      string // of ABAC
	WebhookFile     string // kubeconfig
	WebhookVersion  string // of the SubjectAccessReviews: v1 or v1beta1
	Allowed, Denied time.Duration
	// Dial makes connections to webhooks; nil: the network's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewFlags are upstream's defaults.
func NewFlags() Flags {
	return Flags{WebhookVersion: "v1beta1", Allowed: 5 * time.Minute, Denied: 30 * time.Second}
}

// Read checks what flags and files say. Errors are in upstream's words.
func Read(f Flags) (*Settings, error) {
	s := &Settings{flags: f}
	var err error
	if f.File != "" {
		if usual := NewFlags(); len(f.Modes) > 0 || f.WebhookFile != "" || f.WebhookVersion != usual.WebhookVersion || f.Allowed != usual.Allowed || f.Denied != usual.Denied {
			return nil, errors.New("--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined")
		}
		if s.data, err = os.ReadFile(f.File); err != nil {
			return nil, err
		}
		s.first, err = s.parse(s.data, nil)
	} else {
		s.first, err = f.configuration()
	}
	if err != nil {
		return nil, err
	}
	if s.has("ABAC") {
		if s.abac, err = readABAC(f.PolicyFile); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Open reports whether everybody may do everything.
func (s *Settings) Open() bool {
	return slices.ContainsFunc(s.first.Authorizers, func(a apiserver.AuthorizerConfiguration) bool { return a.Type == "AlwaysAllow" })
}

func (s *Settings) has(mode string) bool {
	return slices.ContainsFunc(s.first.Authorizers, func(a apiserver.AuthorizerConfiguration) bool { return string(a.Type) == mode })
}

// configuration is what the flags other than the file say.
func (f *Flags) configuration() (*apiserver.AuthorizationConfiguration, error) {
	modes := f.Modes
	if len(modes) == 0 {
		modes = []string{"AlwaysAllow"}
	}
	var errs []error
	out := &apiserver.AuthorizationConfiguration{}
	for i, mode := range modes {
		switch {
		case !slices.Contains(Modes, mode):
			errs = append(errs, fmt.Errorf("authorization-mode %q is not a valid mode", mode))
		case mode == "ABAC" && f.PolicyFile == "":
			errs = append(errs, errors.New("authorization-mode ABAC's authorization policy file not passed"))
		case mode == "Webhook" && f.WebhookFile == "":
			errs = append(errs, errors.New("authorization-mode Webhook's authorization config file not passed"))
		case slices.Contains(modes[:i], mode):
			errs = append(errs, fmt.Errorf("authorization-mode %q has mode specified more than once", modes))
		}
		member := apiserver.AuthorizerConfiguration{Type: apiserver.AuthorizerType(mode), Name: strings.ToLower(mode)}
		if mode == "Webhook" {
			member.Name = "default"
			member.Webhook = &apiserver.WebhookConfiguration{
				AuthorizedTTL: metav1.Duration{Duration: f.Allowed}, CacheAuthorizedRequests: f.Allowed != 0,
				UnauthorizedTTL: metav1.Duration{Duration: f.Denied}, CacheUnauthorizedRequests: f.Denied != 0,
				Timeout: metav1.Duration{Duration: 30 * time.Second}, FailurePolicy: apiserver.FailurePolicyNoOpinion, SubjectAccessReviewVersion: f.WebhookVersion,
				ConnectionInfo: apiserver.WebhookConnectionInfo{Type: apiserver.AuthorizationWebhookConnectionInfoTypeKubeConfigFile, KubeConfigFile: &f.WebhookFile},
			}
		}
		out.Authorizers = append(out.Authorizers, member)
	}
	if f.PolicyFile != "" && !slices.Contains(modes, "ABAC") {
		errs = append(errs, errors.New("cannot specify --authorization-policy-file without mode ABAC"))
	}
	if f.WebhookFile != "" && !slices.Contains(modes, "Webhook") {
		errs = append(errs, errors.New("cannot specify --authorization-webhook-config-file without mode Webhook"))
	}
	return out, utilerrors.NewAggregate(errs)
}

// parse reads an AuthorizationConfiguration; required are the types that it must have.
func (s *Settings) parse(data []byte, required []string) (*apiserver.AuthorizationConfiguration, error) {
	c, err := load.LoadFromData(data)
	if err != nil {
		return nil, fmt.Errorf("failed to load AuthorizationConfiguration from file: %w", err)
	}
	if s.compiler == nil {
		s.compiler = authorizationcel.NewDefaultCompiler()
	}
	if errs := validation.ValidateAuthorizationConfiguration(s.compiler, nil, c, sets.New(Modes...), sets.New("Webhook")); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	var errs []error
	missing := sets.New(required...)
	for _, a := range c.Authorizers {
		if a.Type == "Webhook" {
			continue
		}
		missing.Delete(string(a.Type))
		if want := strings.ToLower(string(a.Type)); want != a.Name {
			errs = append(errs, fmt.Errorf("expected name %s for authorizer %s instead of %s", want, a.Type, a.Name))
		}
	}
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("missing required types: %v", sets.List(missing)))
	}
	return c, utilerrors.NewAggregate(errs)
}

// build makes the authorizers at first.
func (s *Settings) build(c *Chain) ([]Named, error) { return s.members(c, s.first) }

func (s *Settings) members(c *Chain, from *apiserver.AuthorizationConfiguration) ([]Named, error) {
	var out []Named
	for _, a := range from.Authorizers {
		var z Authorizer
		switch a.Type {
		case "Node":
			z = c.Node
		case "RBAC":
			z = c.RBAC
		case "AlwaysAllow":
			z = alwaysAllow{}
		case "AlwaysDeny":
			z = alwaysDeny{}
		case "ABAC":
			if s.abac == nil {
				return nil, errors.New("authorizer type ABAC is not allowed if it was not enabled at initial server startup")
			}
			z = s.abac
		case "Webhook":
			hook, err := s.webhook(a.Webhook)
			if err != nil {
				return nil, err
			}
			z = hook
		default:
			return nil, fmt.Errorf("unknown authorization mode %s specified", a.Type)
		}
		out = append(out, Named{a.Name, z})
	}
	return out, nil
}

func (s *Settings) webhook(c *apiserver.WebhookConfiguration) (*webhook, error) {
	w := &webhook{onError: NoOpinion, answers: cache.NewLRUExpireCache(mostAnswers)}
	switch v := c.SubjectAccessReviewVersion; v {
	case "v1":
	case "v1beta1":
		w.beta = true
	default:
		return nil, fmt.Errorf("unsupported webhook authorizer version %q, supported versions are %q, %q", v, "v1", "v1beta1")
	}
	if c.FailurePolicy == apiserver.FailurePolicyDeny {
		w.onError = Deny
	}
	if c.CacheAuthorizedRequests {
		w.allowed = c.AuthorizedTTL.Duration
	}
	if c.CacheUnauthorizedRequests {
		w.denied = c.UnauthorizedTTL.Duration
	}
	if len(c.MatchConditions) > 0 {
		m, errs := validation.ValidateAndCompileMatchConditions(s.compiler, c.MatchConditions)
		if len(errs) > 0 {
			return nil, errs.ToAggregate()
		}
		w.matches = m
	}
	if c.ConnectionInfo.KubeConfigFile == nil {
		return nil, errors.New("a webhook in the cluster cannot authorize requests to its API server")
	}
	client, err := callout.New(callout.Config{File: *c.ConnectionInfo.KubeConfigFile, Backoff: callout.DefaultBackoff, Dial: s.flags.Dial, Timeout: c.Timeout.Duration})
	if err != nil {
		return nil, err
	}
	w.post = client
	return w, nil
}

// Follows reports whether Run has anything to do.
func (c *Chain) Follows() bool { return c.settings != nil && c.settings.flags.File != "" }

// Run follows the AuthorizationConfiguration until ctx ends. One that cannot be used changes nothing. The types that there were at
// first must stay, webhooks excepted.
func (c *Chain) Run(ctx context.Context, log *slog.Logger) error {
	s := c.settings
	var required []string
	for _, a := range s.first.Authorizers {
		if a.Type != "Webhook" {
			required = append(required, string(a.Type))
		}
	}
	reload.Follow(ctx, s.flags.File, s.data, func(data []byte) {
		next, err := s.parse(data, required)
		var members []Named
		if err == nil {
			members, err = s.members(c, next)
		}
		if err != nil {
			log.Error("reloading authorization config", "file", s.flags.File, "error", err)
			return
		}
		c.now.Store(&members)
		log.Info("reloaded authz config", "file", s.flags.File)
	})
	return nil
}
