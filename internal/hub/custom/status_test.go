package custom

import (
	"fmt"
	"strings"
	"testing"

	"sampan.dev/internal/api/apiextensions"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func pear() *apiextensions.Definition {
	d := &apiextensions.Definition{}
	d.Name = "pears.fruit.example"
	d.Spec.Group = "fruit.example"
	d.Spec.Names = names{Plural: "pears", Singular: "pear", Kind: "Pear", ListKind: "PearList", ShortNames: []string{"pr", "pe"}, Categories: []string{"fruit"}}
	return d
}

func told(d *apiextensions.Definition) string {
	var out []string
	for _, c := range d.Status.Conditions {
		out = append(out, fmt.Sprintf("%s %s %s %s", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(out, "\n")
}

const allAccepted = "NamesAccepted True NoConflicts no conflicts found\nEstablished True InitialNamesAccepted the initial names have been accepted"

func TestSettle(t *testing.T) {
	const notEstablished = "\nEstablished False NotAccepted not all names are accepted"
	for _, c := range []struct {
		name   string
		others taken
		change func(d *apiextensions.Definition)
		want   string
		got    string // accepted names
	}{
		{"nothing taken", taken{}, nil, allAccepted, "pears pear Pear PearList [pr pe] [fruit]"},
		{"others' names", taken{resources: []string{"apples"}, kinds: []string{"Apple"}}, nil, allAccepted, "pears pear Pear PearList [pr pe] [fruit]"},
		{"plural", taken{resources: []string{"pears"}}, nil, `NamesAccepted False PluralConflict "pears" is already in use` + notEstablished, " pear Pear PearList [pr pe] [fruit]"},
		{"singular", taken{resources: []string{"pear"}}, nil, `NamesAccepted False SingularConflict "pear" is already in use` + notEstablished, "pears  Pear PearList [pr pe] [fruit]"},
		{"kind", taken{kinds: []string{"Pear"}}, nil, `NamesAccepted False KindConflict "Pear" is already in use` + notEstablished, "pears pear  PearList [pr pe] [fruit]"},
		{"list kind", taken{kinds: []string{"PearList"}}, nil, `NamesAccepted False ListKindConflict "PearList" is already in use` + notEstablished, "pears pear Pear  [pr pe] [fruit]"},
		{"a short name", taken{resources: []string{"pr"}}, nil, `NamesAccepted False ShortNamesConflict "pr" is already in use` + notEstablished, "pears pear Pear PearList [] [fruit]"},
		{"both short names", taken{resources: []string{"pr", "pe"}}, nil, `NamesAccepted False ShortNamesConflict ["pr" is already in use, "pe" is already in use]` + notEstablished, "pears pear Pear PearList [] [fruit]"},
		{"established once, and then a name is asked for that is taken", taken{kinds: []string{"Apple"}}, func(d *apiextensions.Definition) {
			settle(d, taken{})
			d.Spec.Names.Kind = "Apple"
		}, `NamesAccepted False KindConflict "Apple" is already in use` + "\nEstablished True InitialNamesAccepted the initial names have been accepted", "pears pear Pear PearList [pr pe] [fruit]"},
		{"free again", taken{}, func(d *apiextensions.Definition) { settle(d, taken{kinds: []string{"Pear"}}) }, allAccepted, "pears pear Pear PearList [pr pe] [fruit]"},
		{"certificates that are none", taken{}, func(d *apiextensions.Definition) {
			d.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.WebhookConverter, Webhook: &apiextensionsv1.WebhookConversion{
				ClientConfig: &apiextensionsv1.WebhookClientConfig{CABundle: []byte("no")}}}
		}, "NamesAccepted True NoConflicts no conflicts found\nEstablished False InvalidCABundle The conversion webhook CABundle is invalid", "pears pear Pear PearList [pr pe] [fruit]"},
	} {
		d := pear()
		if c.change != nil {
			c.change(d)
		}
		settle(d, c.others)
		n := d.Status.AcceptedNames
		if got := fmt.Sprint(n.Plural, " ", n.Singular, " ", n.Kind, " ", n.ListKind, " ", n.ShortNames, " ", n.Categories); got != c.got {
			t.Errorf("%s: accepted %s, want %s", c.name, got, c.got)
		}
		if got := told(d); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
		again := d.DeepCopy()
		if settle(again, c.others); told(again) != told(d) {
			t.Errorf("%s: another time it says %s", c.name, told(again))
		}
	}
}

func TestApproval(t *testing.T) {
	for _, c := range []struct{ group, annotation, want string }{
		{"fruit.example", "", ""},
		{"x.k8s.io", "", `False MissingAnnotation protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111`},
		{"k8s.io", "unapproved, a test", `False UnapprovedAnnotation not approved: "unapproved, a test"`},
		{"kubernetes.io", "https://github.com/x/1", `True ApprovedAnnotation approved in https://github.com/x/1`},
		{"x.kubernetes.io", "yes", `False InvalidAnnotation protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111`},
	} {
		d := pear()
		d.Spec.Group = c.group
		if c.annotation != "" {
			d.Annotations = map[string]string{apiextensionsv1.KubeAPIApprovedAnnotation: c.annotation}
		}
		got := ""
		if a := approval(d); a != nil {
			got = fmt.Sprintf("%s %s %s", a.Status, a.Reason, a.Message)
		}
		if got != c.want {
			t.Errorf("%s %q: %s", c.group, c.annotation, got)
		}
	}
}

func TestDeprecation(t *testing.T) {
	d := pear()
	for _, v := range []string{"v1", "v1beta1", "v10", "v2alpha1"} {
		d.Spec.Versions = append(d.Spec.Versions, apiextensionsv1.CustomResourceDefinitionVersion{Name: v, Served: true})
	}
	old, text := &d.Spec.Versions[1], "use apples"
	old.Deprecated = true
	if got := deprecation(d, old); got != "fruit.example/v1beta1 Pear is deprecated; use fruit.example/v10 Pear" {
		t.Error(got)
	}
	newest := &d.Spec.Versions[2]
	newest.Deprecated = true
	if got := deprecation(d, newest); got != "fruit.example/v10 Pear is deprecated" {
		t.Error(got)
	}
	if newest.DeprecationWarning = &text; deprecation(d, newest) != text || deprecation(d, &d.Spec.Versions[0]) != "" {
		t.Error(deprecation(d, newest))
	}
}
