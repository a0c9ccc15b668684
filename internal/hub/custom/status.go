package custom

import (
	"fmt"
	"net/url"
	"strings"

	"sampan.dev/internal/api/apiextensions"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// settle brings the status of a definition, of which others has the names of those beside it, up to date. It changes d.
func settle(d *apiextensions.Definition, others taken) {
	if !equality.Semantic.DeepEqual(d.Spec.Names, d.Status.AcceptedNames) {
		var named apiextensions.Condition
		d.Status.AcceptedNames, named = accept(d, others)
		put(d, named)
		if !apiextensions.IsTrue(d, apiextensionsv1.Established) && named.Status != apiextensionsv1.ConditionTrue && apiextensions.Find(d, apiextensionsv1.Established) == nil {
			put(d, established(false, "NotAccepted", "not all names are accepted"))
		}
	}
	if apiextensions.IsTrue(d, apiextensionsv1.NamesAccepted) && !apiextensions.IsTrue(d, apiextensionsv1.Established) {
		put(d, establish(d))
	}
	if c := approval(d); c != nil {
		put(d, *c)
	}
	if c := structural(d); c != nil {
		put(d, *c)
	} else {
		drop(d, apiextensionsv1.NonStructuralSchema)
	}
}

// put sets a condition if it does not say so already.
func put(d *apiextensions.Definition, c apiextensions.Condition) {
	if !apiextensions.Same(apiextensions.Find(d, c.Type), &c) {
		apiextensions.SetCondition(d, c)
	}
}

// drop takes a condition away.
func drop(d *apiextensions.Definition, t apiextensions.ConditionType) {
	if apiextensions.Find(d, t) == nil {
		return
	}
	var left []apiextensions.Condition
	for _, c := range d.Status.Conditions {
		if c.Type != t {
			left = append(left, c)
		}
	}
	d.Status.Conditions = left
}

func established(is bool, reason, message string) apiextensions.Condition {
	status := apiextensionsv1.ConditionFalse
	if is {
		status = apiextensionsv1.ConditionTrue
	}
	return apiextensions.Condition{Type: apiextensionsv1.Established, Status: status, Reason: reason, Message: message}
}

// establish is the condition of a definition whose names are accepted.
func establish(d *apiextensions.Definition) apiextensions.Condition {
	c := d.Spec.Conversion
	if c != nil && c.Webhook != nil && c.Webhook.ClientConfig != nil && !validBundle(c.Webhook.ClientConfig.CABundle) {
		return established(false, "InvalidCABundle", "The conversion webhook CABundle is invalid")
	}
	return established(true, "InitialNamesAccepted", "the initial names have been accepted")
}

// approval is the condition of a definition in a group that is reserved for Kubernetes' own; nil for others.
func approval(d *apiextensions.Definition) *apiextensions.Condition {
	protected := func(domain string) bool {
		return d.Spec.Group == domain || strings.HasSuffix(d.Spec.Group, "."+domain)
	}
	if !protected("k8s.io") && !protected("kubernetes.io") {
		return nil
	}
	const name = apiextensionsv1.KubeAPIApprovedAnnotation
	c := &apiextensions.Condition{Type: apiextensionsv1.KubernetesAPIApprovalPolicyConformant, Status: apiextensionsv1.ConditionFalse}
	text := d.Annotations[name]
	u, err := url.ParseRequestURI(text)
	switch {
	case text == "":
		c.Reason = "MissingAnnotation"
		c.Message = fmt.Sprintf("protected groups must have approval annotation %q, see https://github.com/kubernetes/enhancements/pull/1111", name)
	case strings.HasPrefix(text, "unapproved"):
		c.Reason, c.Message = "UnapprovedAnnotation", fmt.Sprintf("not approved: %q", text)
	case err == nil && u.Host != "" && u.Scheme != "":
		c.Status, c.Reason, c.Message = apiextensionsv1.ConditionTrue, "ApprovedAnnotation", "approved in "+text
	default:
		c.Reason = "InvalidAnnotation"
		c.Message = fmt.Sprintf("protected groups must have approval annotation %q with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111", name)
	}
	return c
}
