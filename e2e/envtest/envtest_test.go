// Package envtest runs controller-runtime's envtest, unchanged, against the folder that `sampan envtest` makes. KUBEBUILDER_ASSETS
// names that folder, or one of upstream's programs to compare with.
package envtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

func TestMain(m *testing.M) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		dir, err := os.MkdirTemp("", "assets")
		if err != nil {
			panic(err)
		}
		program, err := filepath.Abs("../../bin/sampan")
		if err != nil {
			panic(err)
		}
		if out, err := exec.Command(program, "envtest", dir).CombinedOutput(); err != nil {
			panic(string(out))
		}
		os.Setenv("KUBEBUILDER_ASSETS", dir)
		code := m.Run()
		os.RemoveAll(dir)
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// begin starts an environment until the test ends.
func begin(t testing.TB) (*envtest.Environment, *rest.Config) {
	t.Helper()
	env := &envtest.Environment{}
	cfg, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		since := time.Now()
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
		t.Logf("stopped in %v", time.Since(since))
	})
	return env, cfg
}

func clients(t testing.TB, cfg *rest.Config) (client.Client, *kubernetes.Clientset) {
	t.Helper()
	c, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, set
}

// An environment starts, takes objects, users and rights, and stops.
func TestEnvironment(t *testing.T) {
	env, cfg := begin(t)
	c, set := clients(t, cfg)
	ctx := t.Context()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "cm-"}, Data: map[string]string{"a": "b"}}
	if err := c.Create(ctx, cm); err != nil {
		t.Fatal(err)
	}
	w, err := set.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{ResourceVersion: cm.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	cm.Data["a"] = "c"
	if err := c.Update(ctx, cm); err != nil {
		t.Fatal(err)
	}
	if ev := <-w.ResultChan(); ev.Object.(*corev1.ConfigMap).Data["a"] != "c" {
		t.Errorf("%v", ev)
	}
	w.Stop()
	// A pod needs no service account here, and nobody runs it.
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if err := c.Create(ctx, pod); err != nil {
		t.Fatal(err)
	}
	nobody, err := env.AddUser(envtest.User{Name: "ann", Groups: []string{"people"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, theirs := clients(t, nobody.Config())
	if _, err := theirs.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("ann may list secrets: %v", err)
	}
	who, err := nobody.Kubectl()
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := who.Run("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
	if text := make([]byte, 3); err != nil {
		t.Error(err)
	} else if _, _ = out.Read(text); string(text) != "ann" {
		t.Errorf("%q", text)
	}
}

// Without controllers a namespace stays; with SAMPAN_TEST_CONTROLLERS=on it goes, and what is owned goes with its owner.
func TestControllers(t *testing.T) {
	for _, on := range []bool{false, true} {
		if on {
			t.Setenv("SAMPAN_TEST_CONTROLLERS", "on")
		}
		_, cfg := begin(t)
		c, _ := clients(t, cfg)
		ctx := t.Context()
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
		owner := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "r"}, Spec: appsv1.ReplicaSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}},
		}}
		for _, obj := range []client.Object{ns, owner, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "in"}}} {
			if err := c.Create(ctx, obj); err != nil {
				t.Fatal(err)
			}
		}
		owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "owned", OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "r", UID: owner.UID}}}}
		if err := c.Create(ctx, owned); err != nil {
			t.Fatal(err)
		}
		for _, obj := range []client.Object{ns, owner} {
			if err := c.Delete(ctx, obj); err != nil {
				t.Fatal(err)
			}
		}
		gone := func(obj client.Object) bool {
			within := 15 * time.Second
			if !on {
				within = 2 * time.Second
			}
			err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, within, true, func(ctx context.Context) (bool, error) {
				return apierrors.IsNotFound(c.Get(ctx, client.ObjectKeyFromObject(obj), obj)), nil
			})
			return err == nil
		}
		if gone(ns) != on {
			t.Errorf("controllers %v: the namespace is gone: %v", on, !on)
		}
		if gone(owned) != on {
			t.Errorf("controllers %v: what was owned is gone: %v", on, !on)
		}
	}
}

// BenchmarkStart is how long an environment takes from nothing to the first object, and back.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		env := &envtest.Environment{}
		if _, err := env.Start(); err != nil {
			b.Fatal(err)
		}
		if err := env.Stop(); err != nil {
			b.Fatal(err)
		}
	}
}
