package admissionregistration

import (
	"reflect"

	"sampan.dev/internal/api"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type mutatingHooks = admissionv1.MutatingWebhookConfiguration

// MutatingWebhookConfigurations is the kind MutatingWebhookConfiguration.
func MutatingWebhookConfigurations() *api.Kind {
	k := kind("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "mutatingwebhookconfiguration")
	k.New = func() api.Object { return &mutatingHooks{} }
	k.NewList = func() runtime.Object { return &admissionv1.MutatingWebhookConfigurationList{} }
	k.Default = api.On(func(c *mutatingHooks) {
		for i := range c.Webhooks {
			h := &c.Webhooks[i]
			defaultHook(hookOfMutating(h))
			if h.ReinvocationPolicy == nil {
				h.ReinvocationPolicy = new(admissionv1.NeverReinvocationPolicy)
			}
		}
	})
	k.PrepareCreate = api.On(func(c *mutatingHooks) { c.Generation = 1 })
	k.PrepareUpdate = api.OnChange(func(c, old *mutatingHooks) {
		if !reflect.DeepEqual(c.Webhooks, old.Webhooks) {
			c.Generation = old.Generation + 1
		}
	})
	k.Validate = api.Check(func(c *mutatingHooks) field.ErrorList {
		return append(checkHooks(hooksOfMutating(c), nil), checkName(c)...)
	})
	k.ValidateUpdate = api.CheckChange(func(c, old *mutatingHooks) field.ErrorList {
		return checkHooks(hooksOfMutating(c), laxity(hooksOfMutating(c), hooksOfMutating(old)))
	})
	k.Warnings = func(obj, old api.Object) []string {
		return append(warnName(obj, old), warnHooks(hooksOfMutating(obj.(*mutatingHooks)))...)
	}
	k.Columns = hookColumns()
	k.Row = api.Cells(func(c *mutatingHooks) []any { return []any{c.Name, int64(len(c.Webhooks)), c.CreationTimestamp} })
	return k
}

func hookColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Webhooks", "integer", "Webhooks indicates the number of webhooks registered in this configuration"),
		api.AgeColumn(),
	}
}
