package control_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	svmv1 "k8s.io/api/storagemigration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Patch implements client.Writer.
func (m *mortal) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (runtime.Object, error) {
	if m.dead() {
		return nil, context.Canceled
	}
	return m.Interface.Patch(ctx, ref, pt, data, opts)
}

// Delete implements client.Writer.
func (m *mortal) Delete(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions) error {
	if m.dead() {
		return context.Canceled
	}
	return m.Interface.Delete(ctx, ref, opts)
}

// lives runs managers that die at their first, second, third … write, each for a minute at most, until done.
func (b *bench) lives(cfg control.Config, done func() bool) int {
	b.Helper()
	for lives := 0; ; lives++ {
		if done() {
			return lives
		}
		if lives == 60 {
			b.Fatal("it does not end")
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		var left atomic.Int64
		left.Store(int64(lives % 20))
		one := cfg
		one.Kinds, one.Log = all.Kinds(), slog.New(slog.DiscardHandler)
		one.Doors = func(user api.User, agent string) client.Interface {
			return &mortal{b.hub.Door(user, agent), &left, cancel}
		}
		m, err := control.New(one)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Run(ctx); err != nil {
			b.Fatal(err)
		}
		cancel()
	}
}

// Budgets, tokens and migrations come out as ever, whichever write of whom is the last of a manager.
func TestLives(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := []string{"disruption-controller", "serviceaccount-token-controller", "storage-version-migrator-controller", "replicaset-controller"}
	inBubble(t, control.Config{Controllers: []string{"node-lifecycle-controller"}}, func(b *bench) {
		b.addNode("n0", nil)
		half := intstr.FromString("50%")
		create(b, client.PodDisruptionBudgets, budget("half", policyv1.PodDisruptionBudgetSpec{MinAvailable: &half}))
		d := deployment("default", "web", 3)
		create(b, client.ReplicaSets, &appsv1.ReplicaSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas, Selector: d.Spec.Selector, Template: d.Spec.Template}})
		create(b, client.ServiceAccounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "builder"}})
		create(b, client.Secrets, tokenSecret("one", "builder"))
		create(b, client.StorageVersionMigrations, &svmv1.StorageVersionMigration{ObjectMeta: metav1.ObjectMeta{Name: "m"},
			Spec: svmv1.StorageVersionMigrationSpec{Resource: metav1.GroupResource{Resource: "configmaps"}}})
		cfg := control.Config{Controllers: own, TokenKey: key, RootCA: []byte("bundle")}
		n := b.lives(cfg, func() bool {
			m, err := client.Get[*svmv1.StorageVersionMigration](b.Context(), b.door, client.StorageVersionMigrations, "", "m")
			if err != nil {
				b.Fatal(err)
			}
			over := 0
			for _, c := range m.Status.Conditions {
				if c.Type == "Running" && c.Status == "False" || c.Type == "Succeeded" && c.Status == "True" {
					over++
				}
			}
			s, err := client.Get[*corev1.Secret](b.Context(), b.door, client.Secrets, "default", "one")
			return err == nil && len(s.Data["token"]) > 0 && over == 2 && b.budgeted("half") == "3 3 2 1 0 SufficientPods"
		})
		if n < 4 {
			b.Errorf("only %d lives", n)
		}
		if got := b.createdPods(); got != 3 {
			b.Errorf("%d pods for 3 replicas", got)
		}
	})
}
