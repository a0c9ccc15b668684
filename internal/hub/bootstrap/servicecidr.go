package bootstrap

import (
	"context"
	"fmt"

	"sampan.dev/internal/client"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ensureServiceCIDR makes the ServiceCIDR kubernetes, of which all others are additions, and says that it is ready where nobody has said
// whether it is. One that has other ranges than the settings is left as it is.
func ensureServiceCIDR(ctx context.Context, door client.Interface, cfg *Config) error {
	const name = "kubernetes"
	have, err := client.Get[*networkingv1.ServiceCIDR](ctx, door, client.ServiceCIDRs, "", name)
	if apierrors.IsNotFound(err) {
		fresh := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{cfg.ServiceCIDR.Masked().String()}}}
		have, err = client.Create(ctx, door, client.ServiceCIDRs, fresh)
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("bootstrap servicecidr %s: %w", name, err)
	}
	if have.DeletionTimestamp != nil || meta.FindStatusCondition(have.Status.Conditions, networkingv1.ServiceCIDRConditionReady) != nil {
		return nil
	}
	if len(have.Spec.CIDRs) != 1 || have.Spec.CIDRs[0] != cfg.ServiceCIDR.Masked().String() {
		return nil
	}
	out := have.DeepCopy()
	meta.SetStatusCondition(&out.Status.Conditions, metav1.Condition{
		Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue, Message: "Kubernetes default Service CIDR is ready"})
	if _, err := client.UpdateStatus(ctx, door, client.ServiceCIDRs, out); err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("bootstrap servicecidr %s: %w", name, err)
	}
	return nil
}
