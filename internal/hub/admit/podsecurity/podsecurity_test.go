package podsecurity

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
)

func spec(change func(*corev1.PodSpec)) *corev1.PodSpec {
	s := &corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	if change != nil {
		change(s)
	}
	return s
}

const privilegedText = `privileged (container "c" must not set securityContext.privileged=true)`

// The words are those of a real v1.37.1.
func TestJudge(t *testing.T) {
	privileged := spec(func(s *corev1.PodSpec) {
		s.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	})
	sandboxed := spec(func(s *corev1.PodSpec) { s.RuntimeClassName, s.HostNetwork = new("kata"), true })
	restricted := `allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), ` +
		`unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), ` +
		`runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), ` +
		`seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")`
	for _, tc := range []struct {
		name                    string
		labels                  string // "enforce=baseline,warn=…"
		spec                    *corev1.PodSpec
		template                bool
		refused, warning, audit string
		enforced                string
	}{
		{name: "baseline takes a plain pod", labels: "enforce=baseline", spec: spec(nil), enforced: "baseline:latest"},
		{name: "baseline", labels: "enforce=baseline", spec: privileged, refused: `violates PodSecurity "baseline:latest": ` + privilegedText, enforced: "baseline:latest"},
		{name: "restricted", labels: "enforce=restricted,enforce-version=v1.30", spec: spec(nil), refused: `violates PodSecurity "restricted:v1.30": ` + restricted, enforced: "restricted:v1.30"},
		{name: "a version to come is the latest", labels: "enforce=restricted,enforce-version=v1.99", spec: spec(nil), refused: `violates PodSecurity "restricted:v1.99": ` + restricted, enforced: "restricted:v1.99"},
		{name: "warn", labels: "warn=baseline", spec: privileged, warning: `would violate PodSecurity "baseline:latest": ` + privilegedText, enforced: "privileged:latest"},
		{name: "audit", labels: "audit=baseline", spec: privileged, audit: `would violate PodSecurity "baseline:latest": ` + privilegedText, enforced: "privileged:latest"},
		{name: "enforce lets a template in and warns", labels: "enforce=baseline", spec: privileged, template: true, warning: `would violate PodSecurity "baseline:latest": ` + privilegedText},
		{name: "warn that is looser", labels: "enforce=baseline,warn=privileged", spec: privileged, template: true},
		{name: "an unknown level is restricted", labels: "enforce=x", spec: spec(nil), refused: `violates PodSecurity "restricted:latest": ` + restricted, enforced: "restricted:latest"},
		{name: "exempt class", labels: "enforce=baseline", spec: sandboxed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := New(Config{Exemptions: Exemptions{RuntimeClasses: []string{"kata"}}})
			p, bad := s.Policy(labelsOf(tc.labels))
			v := s.Judge(p, bad, &metav1.ObjectMeta{}, tc.spec, !tc.template)
			if v.Refused != tc.refused || v.Warning != tc.warning || v.Annotations["audit-violations"] != tc.audit || v.Annotations["enforce-policy"] != tc.enforced {
				t.Errorf("%+v", v)
			}
			if (v.Annotations["exempt"] == "runtimeClass") != (tc.spec == sandboxed) || (v.Annotations["error"] != "") != (len(bad) > 0) {
				t.Errorf("%v", v.Annotations)
			}
		})
	}
}

func labelsOf(text string) map[string]string {
	out := map[string]string{"app": "x"}
	for pair := range strings.SplitSeq(text, ",") {
		if k, v, ok := strings.Cut(pair, "="); ok {
			out[api.AuditAnnotationPrefix+k] = v
		}
	}
	return out
}

func namespace(labels string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns", Labels: labelsOf(labels)}}
}

func TestLabelsOfNamespaces(t *testing.T) {
	wrong := `metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "x": must be one of privileged, baseline, restricted`
	for _, tc := range []struct {
		name     string
		old, now string // old "-" is a new namespace
		exempt   bool
		err      string
		warning  string
		look     bool
	}{
		{name: "good", old: "-", now: "enforce=baseline,warn-version=v1.20"},
		{name: "wrong level", old: "-", now: "enforce=x", err: wrong},
		{name: "wrong version", old: "-", now: "audit-version=1.2", err: `metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: "1.2": must be "latest" or "v1.x"`},
		{name: "becomes wrong", now: "enforce=x", err: wrong},
		{name: "was wrong", old: "enforce=x", now: "enforce=x"},
		{name: "stricter", now: "enforce=baseline", look: true},
		{name: "stricter still", old: "enforce=baseline", now: "enforce=restricted", look: true},
		{name: "another version", old: "enforce=baseline", now: "enforce=baseline,enforce-version=v1.1", look: true},
		{name: "looser", old: "enforce=restricted", now: "enforce=baseline"},
		{name: "warn only", now: "warn=restricted"},
		{name: "exempt, new", old: "-", now: "enforce=baseline", exempt: true, warning: `namespace "ns" is exempt from Pod Security, and the policy (enforce=baseline:latest) will be ignored`},
		{name: "exempt", now: "enforce=baseline,audit=restricted", exempt: true,
			warning: `namespace "ns" is exempt from Pod Security, and the policy (enforce=baseline:latest, audit=restricted:latest) will be ignored`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Config{}
			if tc.exempt {
				c.Exemptions.Namespaces = []string{"ns"}
			}
			s := New(c)
			var err error
			var warning string
			var look bool
			if tc.old == "-" {
				errs, w := s.Created(namespace(tc.now))
				err, warning = errs.ToAggregate(), w
			} else {
				errs, w, l, _ := s.Changed(namespace(tc.now), namespace(tc.old))
				err, warning, look = errs.ToAggregate(), w, l
			}
			if fmt.Sprint(err) != tc.err && (err != nil || tc.err != "") || warning != tc.warning || look != tc.look {
				t.Errorf("%v, %q, %v", err, warning, look)
			}
		})
	}
}

func TestExisting(t *testing.T) {
	pod := func(name, owner string, host bool) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: *spec(func(s *corev1.PodSpec) { s.HostNetwork = host })}
		if owner != "" {
			p.OwnerReferences = []metav1.OwnerReference{{UID: "u", Name: owner, Controller: new(true)}}
		}
		return p
	}
	level := api.LevelVersion{Level: api.LevelBaseline, Version: api.LatestVersion()}
	s := New(Config{})
	got := s.Existing(t.Context(), "ns", level, []*corev1.Pod{pod("b", "rs", true), pod("a", "rs", true), pod("ok", "", false), pod("c", "", true)})
	want := []string{`existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"`, `a (and 2 other pods): host namespaces`}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q", got)
	}
	// A request that is nearly over is told how far it got.
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	got = s.Existing(ctx, "ns", level, []*corev1.Pod{pod("x", "", true), pod("y", "", true)})
	want = []string{`new PodSecurity enforce level only checked against the first 1 of 2 existing pods`, want[0], `x: host namespaces`}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q", got)
	}
}

func TestSignificant(t *testing.T) {
	old := &corev1.Pod{Spec: *spec(nil)}
	for name, tc := range map[string]struct {
		change func(*corev1.PodSpec)
		want   bool
	}{
		"nothing": {func(*corev1.PodSpec) {}, false},
		"image":   {func(s *corev1.PodSpec) { s.Containers[0].Image = "j" }, true},
		"another": {func(s *corev1.PodSpec) {
			s.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "e"}}}
		}, true},
		"toleration": {func(s *corev1.PodSpec) { s.Tolerations = []corev1.Toleration{{Key: "k"}} }, false},
	} {
		now := old.DeepCopy()
		tc.change(&now.Spec)
		if got := Significant(now, old); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestReadConfig(t *testing.T) {
	const head = "apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\n"
	for name, tc := range map[string]struct{ text, err string }{
		"nothing":       {"", ""},
		"whole":         {head + "defaults: {enforce: baseline, enforce-version: v1.30, warn: restricted}\nexemptions: {usernames: [u], namespaces: [kube-system], runtimeClasses: [kata]}", ""},
		"old":           {strings.Replace(head, "/v1\n", "/v1beta1\n", 1), ""},
		"kind":          {"apiVersion: v1\nkind: Pod\n", `no kind "Pod" is registered for version "v1"`},
		"unknown field": {head + "defauts: {}", `strict decoding error: unknown field "defauts"`},
		"level":         {head + "defaults: {audit: x}", `defaults.audit: Invalid value: "x": must be one of privileged, baseline, restricted`},
		"version":       {head + "defaults: {warn-version: x}", `defaults.warn-version: Invalid value: "x": must be "latest" or "v1.x"`},
		"names":         {head + "exemptions: {usernames: [''], namespaces: [a, a]}", `[exemptions.namespaces[1]: Duplicate value: "a", exemptions.usernames[0]: Invalid value: "": username must not be empty]`},
	} {
		if _, err := ReadConfig([]byte(tc.text)); fmt.Sprint(err) != tc.err && (err != nil || tc.err != "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What no namespace asks for costs nothing: pods are made by the thousand.
func TestSilentCostsNothing(t *testing.T) {
	s, labels := New(Config{}), map[string]string{"kubernetes.io/metadata.name": "x"}
	if n := testing.AllocsPerRun(100, func() {
		if !s.Silent(labels) {
			t.Error("not silent")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
