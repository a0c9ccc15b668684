package rest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authz"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	impersonateExtra = "Impersonate-Extra-"
	authentication   = "authentication.k8s.io"
	nodePrefix       = "system:node:"
)

// impersonate returns the user that the caller wants to be taken for, after asking whether it may, and takes the headers off the
// request. It returns nil when nobody is asked for. about is the request as the caller's own. constraint is the verb that allowed it
// where that is bound to the verb of the request (KEP-5284), "" for plain impersonation.
func (s *Server) impersonate(ctx context.Context, r *http.Request, caller api.User, about func() authz.Attributes) (as *api.User, constraint string, err error) {
	want, err := wanted(r.Header)
	if want == nil || err != nil {
		return nil, "", err
	}
	a := about()
	a.User = caller
	last, known := s.lastMode.Get(caller.Name)
	var first error
	if known {
		if as, err = last.(*mode).check(ctx, s, want, a); as != nil {
			return as, last.(*mode).constraint(), strip(r.Header)
		}
		first = err
	}
	for _, m := range modes {
		if known && m == last.(*mode) {
			continue
		}
		if as, err = m.check(ctx, s, want, a); as != nil {
			s.lastMode.Add(caller.Name, m)
			return as, m.constraint(), strip(r.Header)
		}
		if first == nil {
			first = err
		}
	}
	return nil, "", first
}

// wanted is the user that the headers name; nil for none.
func wanted(h http.Header) (*api.User, error) {
	u := &api.User{Name: h.Get("Impersonate-User"), UID: h.Get("Impersonate-Uid"), Groups: slices.Clone(h.Values("Impersonate-Group"))}
	for k, v := range h {
		rest, ok := strings.CutPrefix(k, impersonateExtra)
		if !ok {
			continue
		}
		key := strings.ToLower(rest)
		if un, err := url.PathUnescape(key); err == nil {
			key = un
		}
		if u.Extra == nil {
			u.Extra = map[string][]string{}
		}
		u.Extra[key] = append(u.Extra[key], v...)
	}
	if u.Name != "" {
		return u, nil
	}
	if u.UID != "" || len(u.Groups) > 0 || len(u.Extra) > 0 {
		return nil, apierrors.NewBadRequest(nameless(u.UID, u.Groups, u.Extra))
	}
	return nil, nil
}

func strip(h http.Header) error {
	for k := range h {
		if strings.HasPrefix(k, "Impersonate-") {
			h.Del(k)
		}
	}
	return nil
}

// mode is a way to impersonate. Those with a name ask twice: whether the caller may impersonate that user so (impersonate:NAME), and
// whether it may do what it asks for so (impersonate-on:NAME:VERB).
type mode struct {
	name string // "" for plain impersonation
	fits func(want, caller *api.User) bool
	own  bool // the caller's extras and the node's name do not count: that they belong together has been seen
}

// modes in the order in which they are tried, after the one that let this caller last.
var modes = []*mode{
	{name: "associated-node", own: true, fits: func(want, caller *api.User) bool {
		node, ok := nodeOf(want.Name)
		_, _, account := serviceAccount(caller.Name)
		of := caller.Extra["authentication.kubernetes.io/node-name"]
		return ok && account && nameOnly(want) && len(of) == 1 && of[0] == node
	}},
	{name: "arbitrary-node", fits: func(want, _ *api.User) bool { _, ok := nodeOf(want.Name); return ok && nameOnly(want) }},
	{name: "serviceaccount", fits: func(want, _ *api.User) bool { _, _, ok := serviceAccount(want.Name); return ok && nameOnly(want) }},
	{name: "user-info", fits: func(want, _ *api.User) bool {
		_, node := nodeOf(want.Name)
		_, _, account := serviceAccount(want.Name)
		return !node && !account
	}},
	{fits: func(_, _ *api.User) bool { return true }},
}

func (m *mode) constraint() string {
	if m.name == "" {
		return ""
	}
	return "impersonate:" + m.name
}

// check returns the user that the caller is from then on. It returns nothing when the mode does not fit.
func (m *mode) check(ctx context.Context, s *Server, want *api.User, about authz.Attributes) (*api.User, error) {
	caller := about.User
	if !m.fits(want, &caller) {
		return nil, nil
	}
	verb := "impersonate"
	if m.name != "" {
		verb = m.constraint()
		about.Verb = "impersonate-on:" + m.name + ":" + about.Verb
		if m.own {
			caller.Extra = map[string][]string{"authentication.kubernetes.io/associated-node-keys": slices.Sorted(maps.Keys(caller.Extra))}
			about.User = caller
		}
		if err := s.cfg.Verbs.Authorize(ctx, about); err != nil {
			return nil, err
		}
		if err := extraErrors(want.Extra, caller, verb); err != nil {
			return nil, err
		}
	}
	for _, q := range m.questions(want) {
		q.User, q.Verb = caller, verb
		if err := s.cfg.Verbs.Authorize(ctx, q); err != nil {
			return nil, err
		}
	}
	return m.becomes(want), nil
}

// questions to ask, one for each thing that is claimed.
func (m *mode) questions(u *api.User) []authz.Attributes {
	group := authentication
	if m.name == "" {
		group = ""
	}
	who := authz.Attributes{Group: group, Version: "v1", Resource: "users", Name: u.Name}
	if ns, sa, ok := serviceAccount(u.Name); ok {
		who.Resource, who.Namespace, who.Name = client.ServiceAccounts.Resource, ns, sa
	} else if node, ok := nodeOf(u.Name); ok && m.name != "" {
		who.Resource, who.Name = client.Nodes.Resource, node
		if m.own {
			who.Name = "*"
		}
	}
	out := []authz.Attributes{who}
	if u.UID != "" {
		out = append(out, authz.Attributes{Group: authentication, Version: "v1", Resource: "uids", Name: u.UID})
	}
	for _, g := range u.Groups {
		out = append(out, authz.Attributes{Group: group, Version: "v1", Resource: "groups", Name: g})
	}
	for _, key := range slices.Sorted(maps.Keys(u.Extra)) {
		for _, v := range u.Extra[key] {
			out = append(out, authz.Attributes{Group: authentication, Version: "v1", Resource: "userextras", Subresource: key, Name: v})
		}
	}
	return out
}

// becomes completes the groups of who is impersonated.
func (m *mode) becomes(want *api.User) *api.User {
	u := *want
	if ns, _, ok := serviceAccount(u.Name); ok && len(u.Groups) == 0 {
		u.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + ns}
	} else if _, ok := nodeOf(u.Name); ok && m.name != "" {
		u.Groups = []string{api.GroupNodes}
	}
	switch {
	case u.Name == api.UserAnonymous:
		if !slices.Contains(u.Groups, api.GroupUnauthenticated) {
			u.Groups = append(u.Groups, api.GroupUnauthenticated)
		}
	case !slices.Contains(u.Groups, api.GroupAuthenticated) && !slices.Contains(u.Groups, api.GroupUnauthenticated):
		u.Groups = append(u.Groups, api.GroupAuthenticated)
	}
	return &u
}

// extraErrors refuses extras that constrained impersonation does not take, though plain impersonation does.
func extraErrors(extra map[string][]string, caller api.User, verb string) error {
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		var why string
		invalid := utilvalidation.IsDomainPrefixedPath(field.NewPath("extra", "key"), key).ToAggregate()
		switch values := extra[key]; {
		case key == "":
			why = "impersonating the empty string key in extra is not allowed"
		case invalid != nil:
			why = fmt.Sprintf("impersonating an invalid key in extra is not allowed: %v", invalid)
		case len(values) == 0:
			why = "impersonating empty values in extra is not allowed"
		case slices.Contains(values, ""):
			why = "impersonating the empty string value in extra is not allowed"
		default:
			continue
		}
		return authz.Forbidden(authz.Attributes{User: caller, Verb: verb, Group: authentication, Version: "v1", Resource: "userextras"}, why)
	}
	return nil
}

func nameOnly(u *api.User) bool { return u.UID == "" && len(u.Groups) == 0 && len(u.Extra) == 0 }

// nodeOf is the node whose kubelet's name that is.
func nodeOf(user string) (node string, ok bool) {
	node, ok = strings.CutPrefix(user, nodePrefix)
	return node, ok && len(apivalidation.NameIsDNSSubdomain(node, false)) == 0
}

// nameless says what is claimed for nobody; upstream prints its own user type.
func nameless(uid string, groups []string, extra map[string][]string) string {
	if len(extra) == 0 {
		extra = nil
	}
	return fmt.Sprintf("requested &user.DefaultInfo{Name:\"\", UID:%q, Groups:%#v, Extra:%#v} without impersonating a user name", uid, groups, extra)
}

func serviceAccount(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, "system:serviceaccount:")
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}
