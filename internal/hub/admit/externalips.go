package admit

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// denyExternalIPs refuses Services that take traffic for addresses they name themselves, and updates that add one.
type denyExternalIPs struct{}

func (denyExternalIPs) Name() string { return "DenyServiceExternalIPs" }

func (denyExternalIPs) Validate(_ context.Context, a *Attributes) error {
	svc, ok := a.Object.(*corev1.Service)
	if !ok || !a.is("", "services", "") || a.Operation != Create && a.Operation != Update {
		return nil
	}
	var had []string
	if old, ok := a.Old.(*corev1.Service); ok {
		had = old.Spec.ExternalIPs
	}
	for _, ip := range svc.Spec.ExternalIPs {
		if !slices.Contains(had, ip) {
			return forbidden(a, "Use of external IPs is denied by admission control")
		}
	}
	return nil
}
