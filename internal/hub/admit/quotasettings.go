package admit

import (
	"fmt"

	"sampan.dev/internal/api/quota"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// quotaConfiguration is the settings of ResourceQuota: ResourceQuotaConfiguration of apiserver.config.k8s.io, or Configuration of
// the group that it was in before.
type quotaConfiguration struct {
	metav1.TypeMeta `json:",inline"`

	LimitedResources []quota.Limited `json:"limitedResources"`
}

var quotaKinds = map[metav1.TypeMeta]bool{
	{Kind: "ResourceQuotaConfiguration", APIVersion: "apiserver.config.k8s.io/v1"}: true,
	{Kind: "Configuration", APIVersion: "resourcequota.admission.k8s.io/v1beta1"}:  true,
	{Kind: "Configuration", APIVersion: "resourcequota.admission.k8s.io/v1alpha1"}: true,
}

// readLimited reads what may be used only under a quota.
func readLimited(text []byte) ([]quota.Limited, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var conf quotaConfiguration
	if err := strictly(text, &conf); err != nil {
		return nil, err
	}
	if !quotaKinds[conf.TypeMeta] {
		return nil, fmt.Errorf("no kind %q is registered for version %q", conf.Kind, conf.APIVersion)
	}
	var errs field.ErrorList
	for i, l := range conf.LimitedResources {
		at := field.NewPath("limitedResources").Index(i)
		if l.Resource == "" {
			errs = append(errs, field.Required(at.Child("resource"), ""))
		}
	}
	return conf.LimitedResources, errs.ToAggregate()
}
