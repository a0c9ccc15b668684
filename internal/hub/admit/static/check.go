package static

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/admissionregistration"

	admissionv1 "k8s.io/api/admissionregistration/v1"
)

// named checks an object's name and adds it to those that were seen.
func named(name, file string, seen map[string]string) error {
	switch before, twice := seen[name]; {
	case name == "":
		return fmt.Errorf("resource in file %q must have a name", file)
	case !strings.HasSuffix(name, admissionregistration.StaticSuffix):
		return fmt.Errorf("%q in file %q must have a name ending with %q", name, file, admissionregistration.StaticSuffix)
	case twice:
		return fmt.Errorf("duplicate name %q found in file %q (previously seen in %q)", name, file, before)
	}
	seen[name] = file
	return nil
}

// fits refuses what asks for objects of the cluster: files are to hold whatever the cluster is like.
func fits(obj api.Object, file string) error {
	name := obj.GetName()
	switch o := obj.(type) {
	case *admissionv1.ValidatingWebhookConfiguration:
		for i := range o.Webhooks {
			if err := byURL(o.Webhooks[i].Name, name, file, &o.Webhooks[i].ClientConfig); err != nil {
				return err
			}
		}
	case *admissionv1.MutatingWebhookConfiguration:
		for i := range o.Webhooks {
			if err := byURL(o.Webhooks[i].Name, name, file, &o.Webhooks[i].ClientConfig); err != nil {
				return err
			}
		}
	case *admissionv1.ValidatingAdmissionPolicy:
		return paramless("ValidatingAdmissionPolicy", name, o.Spec.ParamKind)
	case *admissionv1.MutatingAdmissionPolicy:
		return paramless("MutatingAdmissionPolicy", name, o.Spec.ParamKind)
	case *admissionv1.ValidatingAdmissionPolicyBinding:
		return binds(name, o.Spec.PolicyName, o.Spec.ParamRef)
	case *admissionv1.MutatingAdmissionPolicyBinding:
		return binds(name, o.Spec.PolicyName, o.Spec.ParamRef)
	}
	return nil
}

func byURL(hook, config, file string, c *admissionv1.WebhookClientConfig) error {
	switch {
	case c.Service != nil:
		return fmt.Errorf("webhook %q in %q (file %q): clientConfig.service is not supported for static manifests; use clientConfig.url instead", hook, config, file)
	case c.URL == nil || *c.URL == "":
		return fmt.Errorf("webhook %q in %q (file %q): clientConfig.url is required for static manifests", hook, config, file)
	}
	return nil
}

func paramless(kind, name string, params *admissionv1.ParamKind) error {
	if params != nil {
		return fmt.Errorf("%s %q: spec.paramKind is not supported for static manifests", kind, name)
	}
	return nil
}

func binds(name, policy string, params *admissionv1.ParamRef) error {
	switch {
	case policy == "":
		return fmt.Errorf("binding %q must reference a policy (spec.policyName)", name)
	case !strings.HasSuffix(policy, admissionregistration.StaticSuffix):
		return fmt.Errorf("binding %q: spec.policyName %q must end with %q", name, policy, admissionregistration.StaticSuffix)
	case params != nil:
		return fmt.Errorf("binding %q: spec.paramRef is not supported for static manifests", name)
	}
	return nil
}

// bound checks that every binding's policy is in the folder.
func bound(policies map[string]string, bindings []api.Object) error {
	for _, obj := range bindings {
		var policy string
		switch b := obj.(type) {
		case *admissionv1.ValidatingAdmissionPolicyBinding:
			policy = b.Spec.PolicyName
		case *admissionv1.MutatingAdmissionPolicyBinding:
			policy = b.Spec.PolicyName
		}
		if policies[policy] == "" {
			return fmt.Errorf("binding %q references policy %q which does not exist in the manifest directory", obj.GetName(), policy)
		}
	}
	return nil
}
