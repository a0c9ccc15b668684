package jwt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/client-go/util/cert"
)

// Flags are upstream's --authentication-config and --oidc-*.
type Flags struct {
	File           string // AuthenticationConfiguration
	IssuerURL      string
	ClientID       string
	CAFile         string
	UsernameClaim  string
	UsernamePrefix string
	GroupsClaim    string
	GroupsPrefix   string
	SigningAlgs    []string
	RequiredClaims map[string]string

	// Reserved are issuers that nobody else may be: those of service accounts' tokens.
	Reserved []string
	// Dial makes connections to issuers, by the name of an egress selection ("" for none); nil: the network's.
	Dial func(selection string) func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewFlags are upstream's defaults.
func NewFlags() Flags { return Flags{UsernameClaim: "sub", SigningAlgs: []string{"RS256"}} }

// Any reports whether some of --oidc-* was given.
func (f *Flags) oidc() bool {
	usual := NewFlags()
	return f.IssuerURL != "" || f.ClientID != "" || f.CAFile != "" || f.UsernameClaim != usual.UsernameClaim || f.UsernamePrefix != "" || f.GroupsClaim != "" ||
		f.GroupsPrefix != "" || len(f.RequiredClaims) > 0 || !slices.Equal(f.SigningAlgs, usual.SigningAlgs)
}

// Settings are what flags or a file say, checked.
type Settings struct {
	flags Flags
	data  []byte // of the file, as it was read first
	first *apiserver.AuthenticationConfiguration
	algs  []string
}

// Anonymous is what the file says of anonymous requests; nil when it says nothing.
func (s *Settings) Anonymous() *apiserver.AnonymousAuthConfig { return s.first.Anonymous }

// algorithms are those that may be named; all of them may be used where there is a file.
var algorithms = []string{"ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}

// Read checks flags and file. Errors are in upstream's words. It returns nil where nothing is said.
func Read(f Flags) (*Settings, error) {
	s := &Settings{flags: f, algs: f.SigningAlgs}
	switch {
	case f.File != "" && f.oidc():
		return nil, errors.New("authentication-config file and oidc-* flags are mutually exclusive")
	case f.File != "":
		data, err := os.ReadFile(f.File)
		if err != nil {
			return nil, err
		}
		s.algs, s.data = algorithms, data
		s.first, err = parse(data)
		if err != nil {
			return nil, err
		}
	case f.oidc():
		if f.IssuerURL == "" || f.ClientID == "" {
			return nil, errors.New("oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set")
		}
		for _, alg := range f.SigningAlgs {
			if !slices.Contains(algorithms, alg) {
				return nil, fmt.Errorf("oidc: unsupported signing alg: %q", alg)
			}
		}
		c, err := f.configuration()
		if err != nil {
			return nil, err
		}
		s.first = c
	default:
		return nil, nil
	}
	return s, s.validate(s.first)
}

func (s *Settings) validate(c *apiserver.AuthenticationConfiguration) error {
	if len(c.JWT) == 0 && c.Anonymous == nil {
		return nil
	}
	return validation.ValidateAuthenticationConfiguration(authenticationcel.NewDefaultCompiler(), c, s.flags.Reserved).ToAggregate()
}

func parse(data []byte) (*apiserver.AuthenticationConfiguration, error) {
	if len(data) == 0 {
		return nil, errors.New("empty config data")
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	obj, err := runtime.Decode(serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder(), data)
	if err != nil {
		return nil, err
	}
	c, ok := obj.(*apiserver.AuthenticationConfiguration)
	if !ok {
		return nil, fmt.Errorf("expected AuthenticationConfiguration, got %T", obj)
	}
	return c, nil
}

// configuration is what --oidc-* mean. Without a prefix, names other than addresses of mail get the issuer's URL before them, so that
// no issuer can name an existing user; "-" is no prefix.
func (f *Flags) configuration() (*apiserver.AuthenticationConfiguration, error) {
	prefix := f.UsernamePrefix
	switch {
	case prefix == "-":
		prefix = ""
	case prefix == "" && f.UsernameClaim != "email":
		prefix = f.IssuerURL + "#"
	}
	j := apiserver.JWTAuthenticator{
		Issuer:        apiserver.Issuer{URL: f.IssuerURL, Audiences: []string{f.ClientID}},
		ClaimMappings: apiserver.ClaimMappings{Username: apiserver.PrefixedClaimOrExpression{Prefix: &prefix, Claim: f.UsernameClaim}},
	}
	if f.GroupsClaim != "" {
		groups := f.GroupsPrefix
		j.ClaimMappings.Groups = apiserver.PrefixedClaimOrExpression{Prefix: &groups, Claim: f.GroupsClaim}
	}
	if f.CAFile != "" {
		data, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, err
		}
		if _, err := cert.ParseCertsPEM(data); err != nil {
			return nil, fmt.Errorf("--oidc-ca-file %s: %w", f.CAFile, err)
		}
		j.Issuer.CertificateAuthority = string(data)
	}
	for _, claim := range sets.List(sets.KeySet(f.RequiredClaims)) {
		j.ClaimValidationRules = append(j.ClaimValidationRules, apiserver.ClaimValidationRule{Claim: claim, RequiredValue: f.RequiredClaims[claim]})
	}
	return &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{j}}, nil
}

// discovery is the URL of an issuer's document: the usual one, or that which the configuration names.
func discovery(i *apiserver.Issuer) (usual, named string) {
	return strings.TrimSuffix(i.URL, "/") + "/.well-known/openid-configuration", i.DiscoveryURL
}
