package bootstrap_test

import (
	"log/slog"
	"testing"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/bootstrap"
	"sampan.dev/internal/hub/hubtest"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Flow schemas are kept as they are: those that are mandatory always, the others until an administrator says that they are his. What
// is marked as the server's and is not on its list goes.
func TestRunKeepsFlowControl(t *testing.T) {
	h := hubtest.New(t)
	h.Bootstrap.Served = h.Kinds
	h.Boot(t)
	ctx := t.Context()
	get := func(name string) *flowcontrolv1.FlowSchema {
		s, err := client.Get[*flowcontrolv1.FlowSchema](ctx, h.Root, client.FlowSchemas, "", name)
		if err != nil {
			return nil
		}
		return s.DeepCopy()
	}
	update := func(name string, change func(*flowcontrolv1.FlowSchema)) {
		t.Helper()
		for { // the hub writes their status meanwhile
			s := get(name)
			change(s)
			_, err := client.Update(ctx, h.Root, client.FlowSchemas, s)
			if err == nil {
				return
			}
			if !apierrors.IsConflict(err) {
				t.Fatal(err)
			}
		}
	}
	update("global-default", func(s *flowcontrolv1.FlowSchema) {
		s.Annotations[flowcontrolv1.AutoUpdateAnnotationKey] = "false"
		s.Spec.MatchingPrecedence = 7777
	})
	update("service-accounts", func(s *flowcontrolv1.FlowSchema) { s.Spec.MatchingPrecedence = 7777 })
	update("exempt", func(s *flowcontrolv1.FlowSchema) { s.Annotations = nil })
	stray := get("probes")
	stray.ObjectMeta = metav1.ObjectMeta{Name: "stray", Annotations: map[string]string{flowcontrolv1.AutoUpdateAnnotationKey: "true"}}
	stray.Spec.MatchingPrecedence = 3
	if _, err := client.Create(ctx, h.Root, client.FlowSchemas, stray); err != nil {
		t.Fatal(err)
	}
	go bootstrap.Run(ctx, h.Root, h.Bootstrap, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err := client.Delete(ctx, h.Root, client.FlowSchemas, "", "catch-all", ""); err != nil {
		t.Fatal(err)
	}
	hubtest.Eventually(t, func() bool {
		return get("stray") == nil && get("catch-all") != nil && get("service-accounts").Spec.MatchingPrecedence == 9000 &&
			get("exempt").Annotations[flowcontrolv1.AutoUpdateAnnotationKey] == "true"
	})
	if got := get("global-default").Spec.MatchingPrecedence; got != 7777 {
		t.Errorf("an administrator's own: %d", got)
	}
}
