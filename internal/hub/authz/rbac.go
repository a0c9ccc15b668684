package authz

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// RBAC is the authorizer of roles and bindings: it allows what a role that is bound to the user grants, and has no opinion
// otherwise.
//
// Its maps are an index of the informers' objects, which they share and never change. The informers' handlers are the only
// writers and take mu to write; requests take it to read. Until an informer has synced, what it
// has not shown yet grants nothing.
type RBAC struct {
	mu struct {
		sync.RWMutex
		roles        map[string]*rbacv1.Role        // "namespace/name"
		clusterRoles map[string]*rbacv1.ClusterRole // name
		// Bindings by namespace ("" for cluster-wide ones), then by subject, then by name.
		bindings map[string]map[subject]map[string]*binding
	}
}

// subject is a user's or group's name. Service accounts are the users they authenticate as.
type subject struct {
	group bool
	name  string
}

// binding is a ClusterRoleBinding, or a RoleBinding with a namespace.
type binding struct {
	namespace, name string
	role            rbacv1.RoleRef
	subjects        []rbacv1.Subject
}

// NewRBAC makes an RBAC that follows the informers of set; nil for one that is filled by hand.
func NewRBAC(set *cache.Set) *RBAC {
	r := &RBAC{}
	r.mu.roles = map[string]*rbacv1.Role{}
	r.mu.clusterRoles = map[string]*rbacv1.ClusterRole{}
	r.mu.bindings = map[string]map[subject]map[string]*binding{}
	if set == nil {
		return r
	}
	cache.For[*rbacv1.Role](set, client.Roles, cache.Options{}).Handle(follow(r.setRole))
	cache.For[*rbacv1.ClusterRole](set, client.ClusterRoles, cache.Options{}).Handle(follow(r.setClusterRole))
	cache.For[*rbacv1.RoleBinding](set, client.RoleBindings, cache.Options{}).Handle(follow(r.setRoleBinding))
	cache.For[*rbacv1.ClusterRoleBinding](set, client.ClusterRoleBindings, cache.Options{}).Handle(follow(r.setClusterRoleBinding))
	return r
}

// follow calls set(old, new) with the zero value for what is not there.
func follow[T api.Object](set func(old, obj T)) cache.Handler[T] {
	var none T
	return cache.Handler[T]{
		Add:    func(obj T) { set(none, obj) },
		Update: set,
		Delete: func(obj T) { set(obj, none) },
	}
}

func (r *RBAC) setRole(old, obj *rbacv1.Role) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if obj == nil {
		delete(r.mu.roles, old.Namespace+"/"+old.Name)
		return
	}
	r.mu.roles[obj.Namespace+"/"+obj.Name] = obj
}

func (r *RBAC) setClusterRole(old, obj *rbacv1.ClusterRole) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if obj == nil {
		delete(r.mu.clusterRoles, old.Name)
		return
	}
	r.mu.clusterRoles[obj.Name] = obj
}

func (r *RBAC) setRoleBinding(old, obj *rbacv1.RoleBinding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old != nil {
		r.dropLocked(&binding{old.Namespace, old.Name, old.RoleRef, old.Subjects})
	}
	if obj != nil {
		r.addLocked(&binding{obj.Namespace, obj.Name, obj.RoleRef, obj.Subjects})
	}
}

func (r *RBAC) setClusterRoleBinding(old, obj *rbacv1.ClusterRoleBinding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old != nil {
		r.dropLocked(&binding{"", old.Name, old.RoleRef, old.Subjects})
	}
	if obj != nil {
		r.addLocked(&binding{"", obj.Name, obj.RoleRef, obj.Subjects})
	}
}

func (r *RBAC) addLocked(b *binding) {
	in := r.mu.bindings[b.namespace]
	if in == nil {
		in = map[subject]map[string]*binding{}
		r.mu.bindings[b.namespace] = in
	}
	for i := range b.subjects {
		s, ok := subjectOf(&b.subjects[i], b.namespace)
		if !ok {
			continue
		}
		if in[s] == nil {
			in[s] = map[string]*binding{}
		}
		in[s][b.name] = b
	}
}

func (r *RBAC) dropLocked(b *binding) {
	in := r.mu.bindings[b.namespace]
	for i := range b.subjects {
		if s, ok := subjectOf(&b.subjects[i], b.namespace); ok {
			if delete(in[s], b.name); len(in[s]) == 0 {
				delete(in, s)
			}
		}
	}
	if len(in) == 0 {
		delete(r.mu.bindings, b.namespace)
	}
}

// subjectOf names the caller that s means. A service account without a namespace is one of the binding's own; in a
// cluster-wide binding it is nobody.
func subjectOf(s *rbacv1.Subject, namespace string) (subject, bool) {
	switch s.Kind {
	case rbacv1.UserKind:
		return subject{name: s.Name}, true
	case rbacv1.GroupKind:
		return subject{group: true, name: s.Name}, true
	case rbacv1.ServiceAccountKind:
		if s.Namespace != "" {
			namespace = s.Namespace
		}
		return subject{name: "system:serviceaccount:" + namespace + ":" + s.Name}, namespace != ""
	}
	return subject{}, false
}

// Authorize allows what any rule of any role bound to the caller allows.
func (r *RBAC) Authorize(_ context.Context, a Attributes) (Decision, string, error) {
	var by *binding
	var as subject
	var errs []error
	r.visit(a.User, a.Namespace, func(b *binding, s subject, rules []rbacv1.PolicyRule, err error) bool {
		if err != nil {
			errs = append(errs, err)
			return true
		}
		if RulesAllow(&a, rules) {
			by, as = b, s
			return false
		}
		return true
	})
	if by != nil {
		return Allow, "RBAC: allowed by " + by.describe(as), nil
	}
	if len(errs) > 0 {
		return NoOpinion, "RBAC: " + aggregate(errs), nil
	}
	return NoOpinion, "", nil
}

// Rules are all rules that apply to user in namespace ("" for cluster-wide ones only). The error names roles that are bound
// and do not exist; the rules are good all the same.
func (r *RBAC) Rules(user api.User, namespace string) ([]rbacv1.PolicyRule, error) {
	var out []rbacv1.PolicyRule
	var errs []error
	r.visit(user, namespace, func(_ *binding, _ subject, rules []rbacv1.PolicyRule, err error) bool {
		out = append(out, rules...)
		if err != nil {
			errs = append(errs, err)
		}
		return true
	})
	if len(errs) > 0 {
		return out, errors.New(aggregate(errs))
	}
	return out, nil
}

// visit calls fn for each binding that applies, cluster-wide ones first, until fn returns false.
func (r *RBAC) visit(user api.User, namespace string, fn func(*binding, subject, []rbacv1.PolicyRule, error) bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	scopes := []string{""}
	if namespace != "" {
		scopes = []string{"", namespace}
	}
	for _, scope := range scopes {
		in := r.mu.bindings[scope]
		if len(in) == 0 {
			continue
		}
		if !r.visitSubjectLocked(in, subject{name: user.Name}, fn) {
			return
		}
		for _, g := range user.Groups {
			if !r.visitSubjectLocked(in, subject{group: true, name: g}, fn) {
				return
			}
		}
	}
}

func (r *RBAC) visitSubjectLocked(in map[subject]map[string]*binding, s subject, fn func(*binding, subject, []rbacv1.PolicyRule, error) bool) bool {
	for _, b := range in[s] {
		rules, err := r.resolveLocked(b.role, b.namespace)
		if !fn(b, s, rules, err) {
			return false
		}
	}
	return true
}

// resolveLocked are the rules of the role that ref means in a binding of namespace.
func (r *RBAC) resolveLocked(ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	switch ref.Kind {
	case "ClusterRole":
		if role := r.mu.clusterRoles[ref.Name]; role != nil {
			return role.Rules, nil
		}
	case "Role":
		if role := r.mu.roles[namespace+"/"+ref.Name]; role != nil {
			return role.Rules, nil
		}
	default:
		return nil, fmt.Errorf("unsupported role reference kind: %q", ref.Kind)
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Group: rbacv1.GroupName, Resource: strings.ToLower(ref.Kind)}, ref.Name)
}

// describe is upstream's wording, its "name/namespace" order too. It is made at each decision, so it is concatenated.
func (b *binding) describe(as subject) string {
	who := ""
	for i := range b.subjects {
		s := &b.subjects[i]
		if got, ok := subjectOf(s, b.namespace); !ok || got != as {
			continue
		}
		name := s.Name
		if s.Kind == rbacv1.ServiceAccountKind {
			ns := b.namespace
			if s.Namespace != "" {
				ns = s.Namespace
			}
			name += "/" + ns
		}
		who = s.Kind + " " + strconv.Quote(name)
		break
	}
	if b.namespace == "" {
		return "ClusterRoleBinding \"" + b.name + "\" of " + b.role.Kind + " \"" + b.role.Name + "\" to " + who
	}
	return "RoleBinding \"" + b.name + "/" + b.namespace + "\" of " + b.role.Kind + " \"" + b.role.Name + "\" to " + who
}

// aggregate joins errors as upstream's aggregates print: one alone, several without repetition in brackets.
func aggregate(errs []error) string {
	var texts []string
	seen := map[string]bool{}
	for _, e := range errs {
		if t := e.Error(); !seen[t] {
			seen[t] = true
			texts = append(texts, t)
		}
	}
	if len(texts) == 1 {
		return texts[0]
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
