package apply

import (
	"strings"
	"testing"

	"sampan.dev/internal/api/all"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// A number that does not fit its field is refused by every kind of patch, and none is cut off to another number.
func TestNumbersAreNotCutOff(t *testing.T) {
	k := all.Kinds().Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"})
	old := &appsv1.Deployment{}
	old.Name, old.Namespace, old.ResourceVersion = "d", "default", "1"
	old.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
	k.Default(old)
	const template = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":SPEC}`
	for _, c := range []struct{ spec, field string }{
		{`{"replicas":NUMBER}`, "DeploymentSpec.spec.replicas of type int32"},
		{`{"minReadySeconds":NUMBER}`, "DeploymentSpec.spec.minReadySeconds of type int32"},
		{`{"template":{"spec":{"containers":[{"name":"c","ports":[{"containerPort":NUMBER}]}]}}}`, "spec.template.spec.containers.ports.containerPort of type int32"},
		{`{"template":{"spec":{"containers":[{"name":"c","livenessProbe":{"periodSeconds":NUMBER,"exec":{}}}]}}}`, "spec.template.spec.containers.livenessProbe.periodSeconds of type int32"},
		{`{"template":{"spec":{"volumes":[{"name":"v","secret":{"secretName":"s","defaultMode":NUMBER}}]}}}`, "spec.template.spec.volumes.secret.defaultMode of type int32"},
	} {
		for _, n := range []string{"4294967298", "-4294967295", "2147483648", "9223372036854775808", "18446744073709551617", "1e40", "1e10"} {
			spec := strings.ReplaceAll(c.spec, "NUMBER", n)
			for pt, body := range map[types.PatchType]string{
				types.StrategicMergePatchType: `{"spec":` + spec + `}`,
				types.MergePatchType:          `{"spec":` + spec + `}`,
				types.ApplyYAMLPatchType:      strings.ReplaceAll(template, "SPEC", spec),
			} {
				out, err := engine.Patch(k, "", old, pt, []byte(body), Options{Manager: "m", Force: true})
				if !apierrors.IsInvalid(err) {
					t.Errorf("%s %s: %v, %v", pt, spec, out, err)
				} else if pt != types.MergePatchType && !strings.Contains(err.Error(), c.field) {
					t.Errorf("%s %s: %v, want %q", pt, spec, err, c.field)
				}
			}
		}
	}
	// What fits is taken: the widest int32, a whole number written as a fraction where upstream takes it, an int64.
	for _, body := range []string{`{"spec":{"replicas":2147483647}}`, `{"spec":{"replicas":2.0}}`, `{"spec":{"replicas":1e3}}`,
		`{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":9223372036854775807}}}}`} {
		if _, err := engine.Patch(k, "", old, types.StrategicMergePatchType, []byte(body), Options{Manager: "m"}); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}
