package admit_test

import (
	"os"
	"path/filepath"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/hubtest"
	"sampan.dev/internal/hub/verb"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestPodSecurity(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	var warned []string
	request := func(verbName string, res schema.GroupVersionResource, obj api.Object) *verb.Request {
		return &verb.Request{
			User: api.User{Name: "root", Groups: []string{api.GroupMasters}}, Verb: verbName, Kind: h.Kinds.Resource(res), Warn: func(s string) { warned = append(warned, s) },
			Ref: client.Ref{Resource: res, Namespace: obj.GetNamespace(), Name: obj.GetName()},
		}
	}
	create := func(res schema.GroupVersionResource, obj api.Object) error {
		_, err := h.Verbs.Create(ctx, request("create", res, obj), obj, metav1.CreateOptions{})
		return err
	}
	label := func(key, value string) error {
		ns, err := client.Get[*corev1.Namespace](ctx, h.Root, client.Namespaces, "", "default")
		if err != nil {
			t.Fatal(err)
		}
		ns = ns.DeepCopy()
		if ns.Labels == nil {
			ns.Labels = map[string]string{}
		}
		ns.Labels["pod-security.kubernetes.io/"+key] = value
		_, _, err = h.Verbs.Update(ctx, request("update", client.Namespaces, ns), ns, metav1.UpdateOptions{})
		return err
	}
	host := func(name string) *corev1.Pod {
		p := simplePod(name)
		p.Spec.HostNetwork = true
		return p
	}
	if err := create(client.Pods, host("before")); err != nil || len(warned) > 0 {
		t.Fatal(err, warned)
	}
	hubtest.Eventually(t, func() bool { // what warns of pods that are there looks into the cache
		l, err := h.Root.List(ctx, client.Ref{Resource: client.Pods, Namespace: "default"}, metav1.ListOptions{ResourceVersion: "0"})
		return err == nil && len(l.Items) == 1
	})
	wantError(t, "wrong label", label("warn", "strict"),
		`Namespace "default" is invalid: metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "strict": must be one of privileged, baseline, restricted`)
	wantError(t, "label", label("enforce", "baseline"), "")
	if len(warned) != 2 || warned[1] != "before: host namespaces" {
		t.Errorf("%q", warned)
	}
	hubtest.Eventually(t, func() bool {
		obj, err := h.Root.Get(ctx, client.Ref{Resource: client.Namespaces, Name: "default"}, metav1.GetOptions{ResourceVersion: "0"})
		ns, ok := obj.(*corev1.Namespace)
		return err == nil && ok && ns.Labels["pod-security.kubernetes.io/enforce"] != ""
	})
	wantError(t, "pod", create(client.Pods, host("p")), `pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)`)
	warned = nil
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "d"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: host("x").Spec},
	}}
	if err := create(client.Deployments, d); err != nil {
		t.Error(err)
	}
	if len(warned) != 1 || warned[0] != `would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)` {
		t.Errorf("%q", warned)
	}
	if err := create(client.Pods, simplePod("plain")); err != nil {
		t.Error(err)
	}
}

func TestReadSettings(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"
	const security = "apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\ndefaults: {enforce: baseline}\n"
	write("security.yaml", security)
	for name, tc := range map[string]struct{ text, err string }{
		"inline": {head + "- name: PodSecurity\n  configuration: {apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, defaults: {enforce: baseline}}\n", ""},
		"path":   {head + "- name: PodSecurity\n  path: security.yaml\n", ""},
		"mistake": {head + "- name: PodSecurity\n  configuration: {apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, defaults: {enforce: x}}\n",
			`couldn't init admission plugin "PodSecurity": defaults.enforce: Invalid value: "x": must be one of privileged, baseline, restricted`},
		"webhooks": {head + "- name: PodSecurity\n  path: security.yaml\n- name: ValidatingAdmissionWebhook\n  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: /a/b}\n", ""},
		"relative": {head + "- name: MutatingAdmissionWebhook\n  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: b}\n",
			`couldn't init admission plugin "MutatingAdmissionWebhook": kubeConfigFile: Invalid value: "b": must be an absolute file path`},
		"manifests": {head + "- name: PodSecurity\n  path: security.yaml\n- name: MutatingAdmissionPolicy\n  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: MutatingAdmissionPolicyConfiguration, staticManifestsDir: " + dir + "}\n", ""},
		"manifests nowhere": {head + "- name: ValidatingAdmissionPolicy\n  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: ValidatingAdmissionPolicyConfiguration, staticManifestsDir: /no/such}\n",
			`couldn't init admission plugin "ValidatingAdmissionPolicy": staticManifestsDir: Invalid value: "/no/such": unable to read: stat /no/such: no such file or directory`},
		"manifests beside": {head + "- name: ValidatingAdmissionWebhook\n  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, staticManifestsDir: x}\n",
			`couldn't init admission plugin "ValidatingAdmissionWebhook": staticManifestsDir: Invalid value: "x": must be an absolute file path`},
		"manifests of another": {head + "- name: ValidatingAdmissionPolicy\n  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: MutatingAdmissionPolicyConfiguration}\n",
			`couldn't init admission plugin "ValidatingAdmissionPolicy": no kind "MutatingAdmissionPolicyConfiguration" is registered for version "apiserver.config.k8s.io/v1"`},
		"field": {head + "- name: PodSecurity\n  pth: x\n", `strict decoding error: unknown field "plugins[0].pth"`},
		"kind":  {"apiVersion: v1\nkind: Pod\n", `no kind "Pod" is registered for version "v1"`},
	} {
		got, err := admit.ReadSettings(write("conf.yaml", tc.text))
		wantError(t, name, err, tc.err)
		if err == nil && got.PodSecurity.Defaults.Enforce != "baseline" {
			t.Errorf("%s: %+v", name, got)
		}
		if asker := got.Askers["ValidatingAdmissionWebhook"]; err == nil && (asker == "/a/b") != (name == "webhooks") {
			t.Errorf("%s: %q", name, asker)
		}
	}
	if got, err := admit.ReadSettings(""); err != nil || got.PodSecurity.Defaults.Enforce != "" {
		t.Errorf("no file: %+v %v", got, err)
	}
}
