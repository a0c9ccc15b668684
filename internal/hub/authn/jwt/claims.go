package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"sampan.dev/internal/api"

	celgo "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/lazy"
)

// credentialID is the extra that tells which token a request came with.
const credentialID = "authentication.kubernetes.io/credential-id"

// claims are what a token says, not yet decoded.
type claims map[string]json.RawMessage

func (c claims) get(name string, into any) error {
	raw, ok := c[name]
	if !ok {
		return errors.New("claim not present")
	}
	return json.Unmarshal(raw, into)
}

// value is the claims for CEL.
func (c claims) value() *lazy.MapValue {
	m := lazy.NewMapValue(types.NewObjectType("kubernetes.claims"))
	for name, raw := range c {
		m.Append(name, func(*lazy.MapValue) ref.Val {
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				return types.NewErr("claim %q failed to unmarshal: %w", name, err)
			}
			return native(v)
		})
	}
	return m
}

// user makes a user of claims, by the rules of the configuration, and refuses those that the rules refuse.
func (is *issuer) user(ctx context.Context, c claims) (api.User, error) {
	m, values := &is.mapper, (*lazy.MapValue)(nil)
	if m.Username != nil || m.Groups != nil || m.UID != nil || m.Extra != nil || m.ClaimValidationRules != nil {
		values = c.value()
	}
	var u api.User
	var err error
	if u.Name, err = is.username(ctx, c, values); err != nil {
		return u, err
	}
	if u.Groups, err = is.groups(ctx, c, values); err != nil {
		return u, err
	}
	if u.UID, err = is.uid(ctx, c, values); err != nil {
		return u, err
	}
	if u.Extra, err = is.extra(ctx, c, values); err != nil {
		return u, err
	}
	for claim, want := range is.required {
		if _, ok := c[claim]; !ok {
			return u, fmt.Errorf("oidc: required claim %s not present in ID token", claim)
		}
		var got string
		if err := c.get(claim, &got); err != nil {
			return u, fmt.Errorf("oidc: parse claim %s: %w", claim, err)
		}
		if got != want {
			return u, fmt.Errorf("oidc: required claim %s value does not match. Got = %s, want = %s", claim, got, want)
		}
	}
	if m.ClaimValidationRules != nil {
		results, err := m.ClaimValidationRules.EvalClaimMappings(ctx, values)
		if err == nil {
			err = pass(results)
		}
		if err != nil {
			return u, fmt.Errorf("oidc: error evaluating claim validation expression: %w", err)
		}
	}
	if m.UserValidationRules != nil {
		results, err := m.UserValidationRules.EvalUser(ctx, userValue(&u))
		if err == nil {
			err = pass(results)
		}
		if err != nil {
			return u, fmt.Errorf("oidc: error evaluating user info validation rule: %w", err)
		}
	}
	return u, nil
}

func (is *issuer) username(ctx context.Context, c claims, values *lazy.MapValue) (string, error) {
	if is.mapper.Username != nil {
		r, err := is.mapper.Username.EvalClaimMapping(ctx, values)
		if err != nil {
			return "", fmt.Errorf("oidc: error evaluating username claim expression: %w", err)
		}
		name, ok := r.EvalResult.Value().(string)
		switch {
		case !ok || r.EvalResult.Type() != celgo.StringType:
			return "", errors.New("oidc: error evaluating username claim expression: username claim expression must return a string")
		case name == "":
			return "", errors.New("oidc: empty username via CEL expression is not allowed")
		}
		return name, nil
	}
	mapping := is.cfg.ClaimMappings.Username
	var name string
	if err := c.get(mapping.Claim, &name); err != nil {
		return "", fmt.Errorf("oidc: parse username claims %q: %w", mapping.Claim, err)
	}
	if _, says := c["email_verified"]; says && mapping.Claim == "email" {
		var verified bool
		if err := c.get("email_verified", &verified); err != nil {
			return "", fmt.Errorf("oidc: parse 'email_verified' claim: %w", err)
		}
		if !verified {
			return "", errors.New("oidc: email not verified")
		}
	}
	return prefixed(mapping.Prefix, name), nil
}

func prefixed(prefix *string, s string) string {
	if prefix == nil {
		return s
	}
	return *prefix + s
}

func (is *issuer) groups(ctx context.Context, c claims, values *lazy.MapValue) ([]string, error) {
	mapping := is.cfg.ClaimMappings.Groups
	if _, ok := c[mapping.Claim]; ok && mapping.Claim != "" {
		var groups oneOrMany
		if err := c.get(mapping.Claim, &groups); err != nil {
			return nil, fmt.Errorf("oidc: parse groups claim %q: %w", mapping.Claim, err)
		}
		for i, g := range groups {
			groups[i] = prefixed(mapping.Prefix, g)
		}
		return groups, nil
	}
	if is.mapper.Groups == nil {
		return nil, nil
	}
	r, err := is.mapper.Groups.EvalClaimMapping(ctx, values)
	if err != nil {
		return nil, fmt.Errorf("oidc: error evaluating group claim expression: %w", err)
	}
	groups, err := texts(r.EvalResult)
	if err != nil {
		return nil, fmt.Errorf("oidc: error evaluating group claim expression: %w", err)
	}
	return groups, nil
}

func (is *issuer) uid(ctx context.Context, c claims, values *lazy.MapValue) (string, error) {
	if claim := is.cfg.ClaimMappings.UID.Claim; claim != "" {
		var uid string
		if err := c.get(claim, &uid); err != nil {
			return "", fmt.Errorf("oidc: parse uid claim %q: %w", claim, err)
		}
		return uid, nil
	}
	if is.mapper.UID == nil {
		return "", nil
	}
	r, err := is.mapper.UID.EvalClaimMapping(ctx, values)
	if err != nil {
		return "", fmt.Errorf("oidc: error evaluating uid claim expression: %w", err)
	}
	uid, ok := r.EvalResult.Value().(string)
	if !ok {
		return "", errors.New("oidc: error evaluating uid claim expression: uid claim expression must return a string")
	}
	return uid, nil
}

func (is *issuer) extra(ctx context.Context, c claims, values *lazy.MapValue) (map[string][]string, error) {
	extra := map[string][]string{}
	var id string
	if c.get("jti", &id) == nil && id != "" {
		extra[credentialID] = []string{"JTI=" + id}
	}
	if is.mapper.Extra != nil {
		results, err := is.mapper.Extra.EvalClaimMappings(ctx, values)
		if err != nil {
			return nil, err
		}
		for _, r := range results {
			mapping, ok := r.ExpressionAccessor.(*authenticationcel.ExtraMappingExpression)
			if !ok {
				return nil, fmt.Errorf("oidc: error evaluating extra claim expression: %T", r.ExpressionAccessor)
			}
			list, err := texts(r.EvalResult)
			if err != nil {
				return nil, fmt.Errorf("oidc: error evaluating extra claim expression: %s: %w", mapping.Expression, err)
			}
			if len(list) > 0 {
				extra[mapping.Key] = list
			}
		}
	}
	if len(extra) == 0 {
		return nil, nil
	}
	return extra, nil
}

// oneOrMany is a list of strings, or a single one.
type oneOrMany []string

func (o *oneOrMany) UnmarshalJSON(data []byte) error {
	var many []string
	if json.Unmarshal(data, &many) == nil {
		*o = many
		return nil
	}
	var single string
	if err := json.Unmarshal(data, &single); err != nil {
		return err
	}
	*o = []string{single}
	return nil
}

var errTexts = errors.New("expression must return a string or a list of strings")

// texts is a value of CEL as strings; empty ones are as good as absent.
func texts(v ref.Val) ([]string, error) {
	var list []any
	switch of := v.Value().(type) {
	case string:
		list = []any{of}
	case []any:
		list = of
	case []string:
		for _, s := range of {
			list = append(list, s)
		}
	case []ref.Val:
		for _, e := range of {
			list = append(list, e.Value())
		}
	default:
		if v.Type() == types.NullType {
			return nil, nil
		}
		return nil, errTexts
	}
	var out []string
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil, errTexts
		}
		if s != "" {
			out = append(out, s)
		}
	}
	return out, nil
}

// pass says which rule refuses.
func pass(results []authenticationcel.EvaluationResult) error {
	for _, r := range results {
		ok, is := r.EvalResult.Value().(bool)
		if !is {
			return errors.New("validation expression must return a boolean")
		}
		if ok {
			continue
		}
		message := ""
		switch rule := r.ExpressionAccessor.(type) {
		case *authenticationcel.ClaimValidationCondition:
			message = rule.Message
		case *authenticationcel.UserValidationCondition:
			message = rule.Message
		}
		return fmt.Errorf("validation expression '%s' failed: %s", r.ExpressionAccessor.GetExpression(), message)
	}
	return nil
}

// userValue is a user for CEL.
func userValue(u *api.User) *lazy.MapValue {
	m := lazy.NewMapValue(types.NewObjectType("kubernetes.UserInfo"))
	for name, v := range map[string]any{"username": u.Name, "uid": u.UID, "groups": u.Groups, "extra": u.Extra} {
		m.Append(name, func(*lazy.MapValue) ref.Val { return native(v) })
	}
	return m
}

// native is a Go value for CEL, in which fields with characters that CEL's names cannot have are found by their escaped names too.
func native(v any) ref.Val { return unescaping(types.DefaultTypeAdapter.NativeToValue(v)) }

func unescaping(v ref.Val) ref.Val {
	switch v := v.(type) {
	case traits.Mapper:
		return &mapper{v}
	case traits.Lister:
		return &lister{v}
	}
	return v
}

type mapper struct{ traits.Mapper }

func (m *mapper) Find(key ref.Val) (ref.Val, bool) {
	if name, ok := key.(types.String); ok {
		if plain, escaped := apiservercel.Unescape(string(name)); escaped && plain != string(name) {
			key = types.String(plain)
		}
	}
	v, ok := m.Mapper.Find(key)
	return unescaping(v), ok
}

type lister struct{ traits.Lister }

func (l *lister) Get(index ref.Val) ref.Val { return unescaping(l.Lister.Get(index)) }
