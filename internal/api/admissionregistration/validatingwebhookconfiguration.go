package admissionregistration

import (
	"reflect"

	"sampan.dev/internal/api"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type validatingHooks = admissionv1.ValidatingWebhookConfiguration

// ValidatingWebhookConfigurations is the kind ValidatingWebhookConfiguration.
func ValidatingWebhookConfigurations() *api.Kind {
	k := kind("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "validatingwebhookconfiguration")
	k.New = func() api.Object { return &validatingHooks{} }
	k.NewList = func() runtime.Object { return &admissionv1.ValidatingWebhookConfigurationList{} }
	k.Default = api.On(func(c *validatingHooks) {
		for i := range c.Webhooks {
			defaultHook(hookOfValidating(&c.Webhooks[i]))
		}
	})
	k.PrepareCreate = api.On(func(c *validatingHooks) { c.Generation = 1 })
	k.PrepareUpdate = api.OnChange(func(c, old *validatingHooks) {
		if !reflect.DeepEqual(c.Webhooks, old.Webhooks) {
			c.Generation = old.Generation + 1
		}
	})
	k.Validate = api.Check(func(c *validatingHooks) field.ErrorList {
		return append(checkHooks(hooksOfValidating(c), nil), checkName(c)...)
	})
	k.ValidateUpdate = api.CheckChange(func(c, old *validatingHooks) field.ErrorList {
		return checkHooks(hooksOfValidating(c), laxity(hooksOfValidating(c), hooksOfValidating(old)))
	})
	k.Warnings = func(obj, old api.Object) []string {
		return append(warnName(obj, old), warnHooks(hooksOfValidating(obj.(*validatingHooks)))...)
	}
	k.Columns = hookColumns()
	k.Row = api.Cells(func(c *validatingHooks) []any { return []any{c.Name, int64(len(c.Webhooks)), c.CreationTimestamp} })
	return k
}
