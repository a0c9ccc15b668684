package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authz"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const impersonateExtra = "Impersonate-Extra-"

// impersonate returns the user that the caller wants to be taken for, after asking whether it may, and takes the headers
// off the request. It returns nil when nobody is asked for.
func (s *Server) impersonate(ctx context.Context, r *http.Request, caller api.User) (*api.User, error) {
	name := r.Header.Get("Impersonate-User")
	uid := r.Header.Get("Impersonate-Uid")
	groups := r.Header.Values("Impersonate-Group")
	extra := map[string][]string{}
	for k, v := range r.Header {
		if rest, ok := strings.CutPrefix(k, impersonateExtra); ok {
			key := strings.ToLower(rest)
			if un, err := url.PathUnescape(key); err == nil {
				key = un
			}
			extra[key] = append(extra[key], v...)
		}
	}
	if name == "" {
		if uid != "" || len(groups) > 0 || len(extra) > 0 {
			return nil, apierrors.NewBadRequest(nameless(uid, groups, extra))
		}
		return nil, nil
	}
	u := &api.User{Name: name, UID: uid, Groups: slices.Clone(groups)}
	if len(extra) > 0 {
		u.Extra = extra
	}
	for _, a := range impersonations(u) {
		a.User, a.Verb = caller, "impersonate"
		if err := s.cfg.Verbs.Authorize(ctx, a); err != nil {
			return nil, err
		}
	}
	if ns, _, ok := serviceAccount(name); ok && len(groups) == 0 {
		u.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + ns}
	}
	switch {
	case name == api.UserAnonymous:
		if !slices.Contains(u.Groups, api.GroupUnauthenticated) {
			u.Groups = append(u.Groups, api.GroupUnauthenticated)
		}
	case !slices.Contains(u.Groups, api.GroupAuthenticated) && !slices.Contains(u.Groups, api.GroupUnauthenticated):
		u.Groups = append(u.Groups, api.GroupAuthenticated)
	}
	for k := range r.Header {
		if strings.HasPrefix(k, "Impersonate-") {
			r.Header.Del(k)
		}
	}
	return u, nil
}

// impersonations are the questions to ask, one for each thing that is claimed.
func impersonations(u *api.User) []authz.Attributes {
	var out []authz.Attributes
	if ns, sa, ok := serviceAccount(u.Name); ok {
		out = append(out, authz.Attributes{Version: "v1", Resource: client.ServiceAccounts.Resource, Namespace: ns, Name: sa})
	} else {
		out = append(out, authz.Attributes{Version: "v1", Resource: "users", Name: u.Name})
	}
	for _, g := range u.Groups {
		out = append(out, authz.Attributes{Version: "v1", Resource: "groups", Name: g})
	}
	for key, values := range u.Extra {
		for _, v := range values {
			out = append(out, authz.Attributes{Group: "authentication.k8s.io", Version: "v1", Resource: "userextras", Subresource: key, Name: v})
		}
	}
	if u.UID != "" {
		out = append(out, authz.Attributes{Group: "authentication.k8s.io", Version: "v1", Resource: "uids", Name: u.UID})
	}
	return out
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
