package admissionregistration

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// reviewVersions are the versions of AdmissionReview that a webhook can be asked in.
var reviewVersions = []string{"v1", "v1beta1"}

var (
	failurePolicies = []string{string(admissionv1.Fail), string(admissionv1.Ignore)}
	matchPolicies   = []string{string(admissionv1.Equivalent), string(admissionv1.Exact)}
	reinvocations   = []string{string(admissionv1.IfNeededReinvocationPolicy), string(admissionv1.NeverReinvocationPolicy)}
	harmless        = []string{string(admissionv1.SideEffectClassNone), string(admissionv1.SideEffectClassNoneOnDryRun)}
	allSideEffects  = append(harmless[:2:2], string(admissionv1.SideEffectClassSome), string(admissionv1.SideEffectClassUnknown))
)

// lax is what an update may leave as wrong as it was: rules get stricter, and what is stored must stay possible to update.
type lax struct {
	conditions    bool // match conditions have not changed
	sideEffects   bool
	versions      bool
	doubleNames   bool
	labelValues   bool
	oldConditions map[string]bool // expressions that were there before
}

func laxity(hooks, old []hook) *lax {
	l := &lax{conditions: len(hooks) == len(old), oldConditions: map[string]bool{}}
	names := map[string]bool{}
	for i, h := range old {
		l.conditions = l.conditions && reflect.DeepEqual(h.conditions, hooks[i].conditions)
		l.sideEffects = l.sideEffects || h.sideEffects == nil || !slices.Contains(harmless, string(*h.sideEffects))
		l.versions = l.versions || len(h.versions) > 0 && !anyOf(h.versions, reviewVersions)
		l.doubleNames = l.doubleNames || names[h.name]
		names[h.name] = true
		for _, s := range []*metav1.LabelSelector{*h.namespaceSelector, *h.objectSelector} {
			l.labelValues = l.labelValues || s != nil && len(metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, nil)) > 0
		}
		for _, c := range h.conditions {
			l.oldConditions[c.Expression] = true
		}
	}
	return l
}

func anyOf(list, of []string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return slices.Contains(of, s) })
}

// checkHooks validates the webhooks of a configuration; l is nil for a new one.
func checkHooks(hooks []hook, l *lax) field.ErrorList {
	if l == nil {
		l = &lax{}
	}
	var errs field.ErrorList
	names := map[string]bool{}
	for i, h := range hooks {
		path := field.NewPath("webhooks").Index(i)
		errs = append(errs, checkHook(h, l, path)...)
		errs = append(errs, checkReviewVersions(h.versions, l, path.Child("admissionReviewVersions"))...)
		if !l.doubleNames && h.name != "" {
			if names[h.name] {
				errs = append(errs, field.Duplicate(path.Child("name"), h.name))
			}
			names[h.name] = true
		}
	}
	return errs
}

func checkHook(h hook, l *lax, path *field.Path) field.ErrorList {
	errs := validation.IsFullyQualifiedName(path.Child("name"), h.name)
	for i := range h.rules {
		errs = append(errs, checkRule(&h.rules[i], path.Child("rules").Index(i))...)
	}
	errs = append(errs, oneOf(*h.failurePolicy, failurePolicies, path.Child("failurePolicy"))...)
	errs = append(errs, oneOf(*h.matchPolicy, matchPolicies, path.Child("matchPolicy"))...)
	effects := harmless
	if l.sideEffects {
		effects = allSideEffects
	}
	if h.sideEffects == nil {
		errs = append(errs, field.Required(path.Child("sideEffects"), "must specify one of "+strings.Join(effects, ", ")))
	}
	errs = append(errs, oneOf(h.sideEffects, effects, path.Child("sideEffects"))...)
	if t := *h.timeout; t != nil && (*t > 30 || *t < 1) {
		errs = append(errs, field.Invalid(path.Child("timeoutSeconds"), *t, "the timeout value must be between 1 and 30 seconds"))
	}
	labels := metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: l.labelValues}
	errs = append(errs, metavalidation.ValidateLabelSelector(*h.namespaceSelector, labels, path.Child("namespaceSelector"))...)
	errs = append(errs, metavalidation.ValidateLabelSelector(*h.objectSelector, labels, path.Child("objectSelector"))...)
	errs = append(errs, oneOf(h.reinvocation, reinvocations, path.Child("reinvocationPolicy"))...)
	errs = append(errs, checkClient(h.client, path.Child("clientConfig"))...)
	if !l.conditions {
		errs = append(errs, checkConditions(h.conditions, false, l.oldConditions, path.Child("matchConditions"))...)
	}
	return errs
}

// oneOf checks a value that may be unset.
func oneOf[T ~string](value *T, of []string, path *field.Path) field.ErrorList {
	if value == nil || slices.Contains(of, string(*value)) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, *value, of)}
}

func checkReviewVersions(versions []string, l *lax, path *field.Path) field.ErrorList {
	if len(versions) == 0 {
		return field.ErrorList{field.Required(path, "must specify one of "+strings.Join(reviewVersions, ", "))}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, v := range versions {
		if seen[v] {
			errs = append(errs, field.Invalid(path.Index(i), v, "duplicate version"))
			continue
		}
		seen[v] = true
		for _, msg := range validation.IsDNS1035Label(v) {
			errs = append(errs, field.Invalid(path.Index(i), v, msg))
		}
	}
	if !l.versions && !anyOf(versions, reviewVersions) {
		errs = append(errs, field.Invalid(path, versions, "must include at least one of "+strings.Join(reviewVersions, ", ")))
	}
	return errs
}

func checkClient(c *admissionv1.WebhookClientConfig, path *field.Path) field.ErrorList {
	switch {
	case (c.URL == nil) == (c.Service == nil):
		return field.ErrorList{field.Required(path, "exactly one of url or service is required")}
	case c.URL != nil:
		return checkURL(*c.URL, path.Child("url"))
	}
	return checkService(c.Service, path.Child("service"))
}

func checkURL(text string, path *field.Path) field.ErrorList {
	const form = "; desired format: https://host[/path]"
	u, err := url.Parse(text)
	if err != nil {
		return field.ErrorList{field.Required(path, "url must be a valid URL: "+err.Error()+form)}
	}
	var errs field.ErrorList
	if u.Scheme != "https" {
		errs = append(errs, field.Invalid(path, u.Scheme, "'https' is the only allowed URL scheme"+form))
	}
	if u.Host == "" {
		errs = append(errs, field.Invalid(path, u.Host, "host must be specified"+form))
	}
	if u.User != nil {
		errs = append(errs, field.Invalid(path, u.User.String(), "user information is not permitted in the URL"))
	}
	if u.Fragment != "" {
		errs = append(errs, field.Invalid(path, u.Fragment, "fragments are not permitted in the URL"))
	}
	if u.RawQuery != "" {
		errs = append(errs, field.Invalid(path, u.RawQuery, "query parameters are not permitted in the URL"))
	}
	return errs
}

func checkService(s *admissionv1.ServiceReference, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	// Upstream hands its check the two the wrong way round, so that the one that is missing is complained of under the other's name.
	if s.Namespace == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	if s.Name == "" {
		errs = append(errs, field.Required(path.Child("namespace"), ""))
	}
	port := int32(443)
	if s.Port != nil {
		port = *s.Port
	}
	if msgs := validation.IsValidPortNum(int(port)); msgs != nil {
		errs = append(errs, field.Invalid(path.Child("port"), port, "port is not valid: "+strings.Join(msgs, ", ")))
	}
	if s.Path == nil || *s.Path == "" || *s.Path == "/" {
		return errs
	}
	return append(errs, checkPath(*s.Path, path.Child("path"))...)
}

func checkPath(text string, path *field.Path) field.ErrorList {
	if text == "//" {
		return field.ErrorList{field.Invalid(path, text, "segment[0] may not be empty")}
	}
	var errs field.ErrorList
	if !strings.HasPrefix(text, "/") {
		errs = append(errs, field.Invalid(path, text, "must start with a '/'"))
	}
	for i, step := range strings.Split(strings.TrimSuffix(text[1:], "/"), "/") {
		if step == "" {
			errs = append(errs, field.Invalid(path, text, fmt.Sprintf("segment[%d] may not be empty", i)))
			continue
		}
		for _, msg := range validation.IsDNS1123Subdomain(step) {
			errs = append(errs, field.Invalid(path, text, fmt.Sprintf("segment[%d]: %v", i, msg)))
		}
	}
	return errs
}
