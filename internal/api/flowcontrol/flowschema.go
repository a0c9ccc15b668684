package flowcontrol

import (
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	defaultPrecedence = 1000
	mostPrecedence    = 10000
	exempt            = "exempt" // the flow schema and the priority level of who may do everything
)

var (
	statusVerbs = []string{"get", "patch", "update"}
	statusReset = []string{"metadata", "spec"}
)

// FlowSchemas is the kind FlowSchema.
func FlowSchemas() *api.Kind {
	return &api.Kind{
		Group: flowcontrolv1.GroupName, Version: "v1", Kind: "FlowSchema", Resource: "flowschemas", Singular: "flowschema",
		New:     func() api.Object { return &flowcontrolv1.FlowSchema{} },
		NewList: func() runtime.Object { return &flowcontrolv1.FlowSchemaList{} },

		Default: api.On(func(s *flowcontrolv1.FlowSchema) {
			if s.Spec.MatchingPrecedence == 0 {
				s.Spec.MatchingPrecedence = defaultPrecedence
			}
		}),
		PrepareCreate: api.On(func(s *flowcontrolv1.FlowSchema) {
			s.Status = flowcontrolv1.FlowSchemaStatus{}
			s.Generation = 1
		}),
		PrepareUpdate: api.OnChange(func(s, old *flowcontrolv1.FlowSchema) {
			s.Status = old.Status
			s.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&s.Spec, &old.Spec) {
				s.Generation++
			}
		}),
		Validate:       api.Check(validateSchema),
		ValidateUpdate: api.CheckChange(func(s, _ *flowcontrolv1.FlowSchema) field.ErrorList { return validateSchema(s) }),
		Unconditional:  true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: statusVerbs,
			PrepareUpdate: api.OnChange(func(s, old *flowcontrolv1.FlowSchema) {
				s.ObjectMeta = keepMeta(&s.ObjectMeta, &old.ObjectMeta)
				s.Spec = old.Spec
			}),
			ValidateUpdate: api.CheckChange(func(s, _ *flowcontrolv1.FlowSchema) field.ErrorList { return checkSchemaStatus(&s.Status) }),
			ResetFields:    statusReset,
		}},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("PriorityLevel", "string", flowcontrolv1.PriorityLevelConfigurationReference{}.SwaggerDoc()["name"]),
			api.Column("MatchingPrecedence", "string", flowcontrolv1.FlowSchemaSpec{}.SwaggerDoc()["matchingPrecedence"]),
			api.Column("DistinguisherMethod", "string", flowcontrolv1.FlowSchemaSpec{}.SwaggerDoc()["distinguisherMethod"]),
			api.AgeColumn(),
			api.Column("MissingPL", "string", "references a broken or non-existent PriorityLevelConfiguration"),
		},
		Row: api.Cells(func(s *flowcontrolv1.FlowSchema) []any {
			method, dangling := "<none>", "?"
			if m := s.Spec.DistinguisherMethod; m != nil {
				method = string(m.Type)
			}
			is := func(c flowcontrolv1.FlowSchemaCondition) bool {
				return c.Type == flowcontrolv1.FlowSchemaConditionDangling
			}
			if i := slices.IndexFunc(s.Status.Conditions, is); i >= 0 {
				dangling = string(s.Status.Conditions[i].Status)
			}
			return []any{s.Name, s.Spec.PriorityLevelConfiguration.Name, int64(s.Spec.MatchingPrecedence), method, s.CreationTimestamp, dangling}
		}),
	}
}

// keepMeta is old's metadata with the managed fields of a write of the status, which changes nothing else of it. The resourceVersion
// stays that of the write, which is compared by it.
func keepMeta(now, old *metav1.ObjectMeta) metav1.ObjectMeta {
	out := *old
	out.ManagedFields, out.ResourceVersion = now.ManagedFields, now.ResourceVersion
	return out
}

func validateSchema(s *flowcontrolv1.FlowSchema) field.ErrorList {
	path := field.NewPath("spec")
	errs := checkSchemaSpec(s.Name, &s.Spec, path)
	for _, m := range MandatorySchemas() {
		if m.Name == s.Name && !equality.Semantic.DeepEqual(&s.Spec, &m.Spec) {
			errs = append(errs, field.Invalid(path, valid.Internal(s.Spec), fmt.Sprintf("spec of '%s' must equal the fixed value", s.Name)))
		}
	}
	return append(errs, checkSchemaStatus(&s.Status)...)
}

func checkSchemaSpec(name string, s *flowcontrolv1.FlowSchemaSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at, n := path.Child("matchingPrecedence"), s.MatchingPrecedence
	if n <= 0 {
		errs = append(errs, field.Invalid(at, n, "must be a positive value"))
	}
	if n > mostPrecedence {
		errs = append(errs, field.Invalid(at, n, fmt.Sprintf("must not be greater than %v", mostPrecedence)))
	}
	if n == 1 && name != exempt {
		errs = append(errs, field.Invalid(at, n, "only the schema named 'exempt' may have matchingPrecedence 1"))
	}
	if m := s.DistinguisherMethod; m != nil {
		if methods := []string{string(flowcontrolv1.FlowDistinguisherMethodByNamespaceType), string(flowcontrolv1.FlowDistinguisherMethodByUserType)}; !slices.Contains(methods, string(m.Type)) {
			errs = append(errs, field.NotSupported(path.Child("distinguisherMethod", "type"), valid.Internal(m), methods))
		}
	}
	at = path.Child("priorityLevelConfiguration", "name")
	if level := s.PriorityLevelConfiguration.Name; level == "" {
		errs = append(errs, field.Required(at, "must reference a priority level"))
	} else {
		errs = append(errs, valid.Messages(at, level, apivalidation.NameIsDNSSubdomain(level, false))...)
	}
	for i := range s.Rules {
		errs = append(errs, checkRules(&s.Rules[i], path.Child("rules").Index(i))...)
	}
	return errs
}

func checkRules(r *flowcontrolv1.PolicyRulesWithSubjects, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Subjects) == 0 {
		errs = append(errs, field.Required(path.Child("subjects"), "subjects must contain at least one value"))
	}
	for i := range r.Subjects {
		errs = append(errs, checkSubject(&r.Subjects[i], path.Child("subjects").Index(i))...)
	}
	if len(r.ResourceRules) == 0 && len(r.NonResourceRules) == 0 {
		errs = append(errs, field.Required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
	}
	for i := range r.ResourceRules {
		errs = append(errs, checkResourceRule(&r.ResourceRules[i], path.Child("resourceRules").Index(i))...)
	}
	for i := range r.NonResourceRules {
		errs = append(errs, checkPathRule(&r.NonResourceRules[i], path.Child("nonResourceRules").Index(i))...)
	}
	return errs
}

func checkSubject(s *flowcontrolv1.Subject, path *field.Path) field.ErrorList {
	account, user, group := path.Child("serviceAccount"), path.Child("user"), path.Child("group")
	var errs field.ErrorList
	absent := func(is bool, at *field.Path, msg string) {
		if is {
			errs = append(errs, field.Forbidden(at, msg))
		}
	}
	const (
		noAccount = "serviceAccount is forbidden when subject kind is not 'ServiceAccount'"
		noUser    = "user is forbidden when subject kind is not 'User'"
		noGroup   = "group is forbidden when subject kind is not 'Group'"
	)
	switch s.Kind {
	case flowcontrolv1.SubjectKindServiceAccount:
		errs = checkAccount(s.ServiceAccount, account)
		absent(s.User != nil, user, noUser)
		absent(s.Group != nil, group, noGroup)
	case flowcontrolv1.SubjectKindUser:
		if s.User == nil {
			errs = valid.Required(user, "user is required when subject kind is 'User'")
		} else if s.User.Name == "" {
			errs = valid.Required(user.Child("name"), "")
		}
		absent(s.ServiceAccount != nil, account, noAccount)
		absent(s.Group != nil, group, noGroup)
	case flowcontrolv1.SubjectKindGroup:
		if s.Group == nil {
			errs = valid.Required(group, "group is required when subject kind is 'Group'")
		} else if s.Group.Name == "" {
			errs = valid.Required(group.Child("name"), "")
		}
		absent(s.ServiceAccount != nil, account, noAccount)
		absent(s.User != nil, user, noUser)
	default:
		return valid.OneOf(s.Kind, path.Child("kind"), flowcontrolv1.SubjectKindGroup, flowcontrolv1.SubjectKindServiceAccount, flowcontrolv1.SubjectKindUser)
	}
	return errs
}

func checkAccount(s *flowcontrolv1.ServiceAccountSubject, path *field.Path) field.ErrorList {
	if s == nil {
		return valid.Required(path, "serviceAccount is required when subject kind is 'ServiceAccount'")
	}
	var errs field.ErrorList
	switch s.Name {
	case "":
		errs = valid.Required(path.Child("name"), "")
	case flowcontrolv1.NameAll:
	default:
		errs = valid.ServiceAccountName(s.Name, path.Child("name"))
	}
	if s.Namespace == "" {
		return append(errs, field.Required(path.Child("namespace"), "must specify namespace for service account"))
	}
	return append(errs, valid.Messages(path.Child("namespace"), s.Namespace, apivalidation.ValidateNamespaceName(s.Namespace, false))...)
}

// verbs that a rule may name, in the order of the alphabet.
var verbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"}

func checkVerbs(list []string, path *field.Path) field.ErrorList {
	switch {
	case len(list) == 0:
		return valid.Required(path, "verbs must contain at least one value")
	case slices.Contains(list, "*"):
		return alone(list, path, "verbs")
	case slices.ContainsFunc(list, func(v string) bool { return !slices.Contains(verbs, v) }):
		return field.ErrorList{field.NotSupported(path, list, verbs)}
	}
	return nil
}

// alone checks that a wildcard has nothing beside it.
func alone(list []string, path *field.Path, what string) field.ErrorList {
	if len(list) > 1 && slices.Contains(list, "*") {
		return valid.Invalid(path, list, "if '*' is present, must not specify other "+what)
	}
	return nil
}

func checkResourceRule(r *flowcontrolv1.ResourcePolicyRule, path *field.Path) field.ErrorList {
	errs := checkVerbs(r.Verbs, path.Child("verbs"))
	for _, l := range []struct {
		name, one, many string
		list            []string
	}{{"apiGroups", "api group", "api groups", r.APIGroups}, {"resources", "resource", "resources", r.Resources}} {
		if len(l.list) == 0 {
			errs = append(errs, field.Required(path.Child(l.name), "resource rules must supply at least one "+l.one))
		}
		errs = append(errs, alone(l.list, path.Child(l.name), l.many)...)
	}
	at := path.Child("namespaces")
	switch {
	case len(r.Namespaces) == 0 && !r.ClusterScope:
		errs = append(errs, field.Required(at, "resource rules that are not cluster scoped must supply at least one namespace"))
	case slices.Contains(r.Namespaces, "*"):
		errs = append(errs, alone(r.Namespaces, at, "namespaces")...)
	default:
		for i, ns := range r.Namespaces {
			for _, msg := range apivalidation.ValidateNamespaceName(ns, false) {
				errs = append(errs, field.Invalid(at.Index(i), ns, "each member of this list must be '*' or a DNS-1123 label; "+msg))
			}
		}
	}
	return errs
}

func checkPathRule(r *flowcontrolv1.NonResourcePolicyRule, path *field.Path) field.ErrorList {
	errs := checkVerbs(r.Verbs, path.Child("verbs"))
	at := path.Child("nonResourceURLs")
	switch {
	case len(r.NonResourceURLs) == 0:
		return append(errs, field.Required(at, "nonResourceURLs must contain at least one value"))
	case slices.Contains(r.NonResourceURLs, "*"):
		return append(errs, alone(r.NonResourceURLs, at, "non-resource URLs")...)
	}
	for i, url := range r.NonResourceURLs {
		if msg := badPath(url); msg != "" {
			errs = append(errs, field.Invalid(at.Index(i), url, msg))
		}
	}
	return errs
}

// badPath says what is wrong with a path, which may end in a wildcard; "" if it is fine.
func badPath(path string) string {
	stars := strings.Count(path, "*")
	switch {
	case path == "":
		return "must not be empty"
	case path == "/":
		return ""
	case !strings.HasPrefix(path, "/"):
		return "must start with slash"
	case strings.Contains(path, " "):
		return "must not contain white-space"
	case strings.Contains(path, "//"):
		return "must not contain double slash"
	case stars > 1 || stars == 1 && !strings.HasSuffix(path, "/*"):
		return "wildcard can only do suffix matching"
	}
	return ""
}

func checkSchemaStatus(s *flowcontrolv1.FlowSchemaStatus) field.ErrorList {
	types := make([]string, len(s.Conditions))
	for i, c := range s.Conditions {
		types[i] = string(c.Type)
	}
	return checkConditions(types)
}

// checkConditions checks that each condition has a type of its own.
func checkConditions(types []string) field.ErrorList {
	var errs field.ErrorList
	for i, t := range types {
		path := field.NewPath("status", "conditions").Index(i).Child("type")
		if slices.Contains(types[:i], t) {
			errs = append(errs, field.Duplicate(path, t))
		}
		if t == "" {
			errs = append(errs, field.Required(path, ""))
		}
	}
	return errs
}
