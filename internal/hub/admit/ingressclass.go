package admit

import (
	"cmp"
	"context"
	"slices"

	"sampan.dev/internal/client"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// defaultIngressClass gives an Ingress that names no class the one that is marked as the default; of several, the newest.
type defaultIngressClass struct{ look lookup }

func (*defaultIngressClass) Name() string { return "DefaultIngressClass" }

func (p *defaultIngressClass) Admit(ctx context.Context, a *Attributes) error {
	in, ok := a.Object.(*networkingv1.Ingress)
	if !ok || a.Operation != Create || a.Subresource != "" || in.Spec.IngressClassName != nil {
		return nil
	}
	if _, old := in.Annotations["kubernetes.io/ingress.class"]; old {
		return nil
	}
	all, err := client.ListAll[*networkingv1.IngressClass](ctx, p.look.door, client.IngressClasses, "", metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return forbidden(a, "%w", err)
	}
	all = slices.DeleteFunc(all, func(c *networkingv1.IngressClass) bool {
		return c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true"
	})
	if len(all) == 0 {
		return nil
	}
	newest := slices.MinFunc(all, func(x, y *networkingv1.IngressClass) int {
		return cmp.Or(y.CreationTimestamp.Compare(x.CreationTimestamp.Time), cmp.Compare(x.Name, y.Name))
	})
	in.Spec.IngressClassName = new(newest.Name)
	return nil
}
