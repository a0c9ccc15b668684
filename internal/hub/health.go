package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/sets"
)

// Check is one health check. Its name is a path below /livez, /readyz and /healthz, where it is listed.
type Check struct {
	Name  string
	Check func(ctx context.Context) error
	Ready bool // only of /readyz
	Live  bool // only of /livez and /healthz

	// Told is for what people should see and nobody should act on: it is listed with its reason, and can be asked alone, but
	// decides nothing. An API server is not taken out of service because the DNS server beside it is down.
	Told bool
}

// mark is a check that something else sets.
type mark struct {
	mu struct {
		sync.Mutex
		err error
	}
}

func newMark(err error) *mark {
	m := &mark{}
	m.mu.err = err
	return m
}

func (m *mark) pass() { m.fail(nil) }

func (m *mark) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.err = err
}

func (m *mark) check(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.err
}

type checks struct {
	caches, informers, bootstrap, shutdown *mark
	all                                    []Check
}

// informerHooks and bootstrapHooks are upstream's names for what is done here after the caches have loaded, and after the
// system's own objects have been written. Scripts wait for some of them by name.
var (
	informerHooks = []string{
		"start-apiserver-admission-initializer", "generic-apiserver-start-informers", "priority-and-fairness-config-consumer",
		"priority-and-fairness-filter", "storage-object-count-tracker-hook", "start-apiextensions-informers",
		"start-apiextensions-controllers", "crd-informer-synced",
	}
	bootstrapHooks = []string{
		"start-system-namespaces-controller", "peer-endpoint-reconciler-controller", "start-cluster-authentication-info-controller",
		"start-kube-apiserver-identity-lease-controller", "start-kube-apiserver-identity-lease-garbage-collector", "storage-readiness",
		"start-legacy-token-tracking-controller", "start-service-ip-repair-controllers", "rbac/bootstrap-roles",
		"scheduling/bootstrap-system-priority-classes", "priority-and-fairness-config-producer", "bootstrap-controller",
		"start-kubernetes-service-cidr-controller", "aggregator-reload-proxy-client-cert", "start-kube-aggregator-informers",
		"apiservice-status-local-available-controller", "apiservice-status-remote-available-controller",
		"apiservice-registration-controller", "apiservice-discovery-controller", "kube-apiserver-autoregistration",
	}
)

// healthChecks lists the checks in upstream's order and under its names.
func (h *Hub) healthChecks() checks {
	notYet := errors.New("not finished")
	c := checks{caches: newMark(notYet), informers: newMark(notYet), bootstrap: newMark(notYet), shutdown: newMark(nil)}
	fine := func(context.Context) error { return nil }
	store := func(ctx context.Context) error {
		for _, st := range h.cfg.stores() {
			if _, err := st.Revision(ctx, ""); err != nil {
				return err
			}
		}
		return nil
	}
	c.all = []Check{
		{Name: "ping", Check: fine},
		{Name: "log", Check: fine},
		{Name: "loopback-serving-certificate", Check: fine, Live: true},
		{Name: "etcd", Check: store},
		{Name: "etcd-readiness", Check: store, Ready: true},
		{Name: "informer-sync", Check: c.caches.check, Ready: true},
	}
	for _, name := range informerHooks {
		c.all = append(c.all, Check{Name: "poststarthook/" + name, Check: c.informers.check})
	}
	for _, name := range bootstrapHooks {
		c.all = append(c.all, Check{Name: "poststarthook/" + name, Check: c.bootstrap.check})
	}
	c.all = append(c.all, Check{Name: "autoregister-completion", Check: c.bootstrap.check},
		Check{Name: "poststarthook/apiservice-openapi-controller", Check: fine},
		Check{Name: "poststarthook/apiservice-openapiv3-controller", Check: fine})
	c.all = append(c.all, h.cfg.Checks...)
	c.all = append(c.all, Check{Name: "shutdown", Check: c.shutdown.check, Ready: true})
	return c
}

func healthPath(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first == "livez" || first == "readyz" || first == "healthz"
}

// health answers /livez, /readyz, /healthz and the single checks below them.
func (h *Hub) health(w http.ResponseWriter, r *http.Request) error {
	kind, one, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var list []Check
	for _, c := range h.checks.all {
		if c.Ready && kind != "readyz" || c.Live && kind == "readyz" {
			continue
		}
		list = append(list, c)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if one != "" {
		return h.oneCheck(w, r, list, one)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, verbose := r.URL.Query()["verbose"]
	excluded := sets.New[string]()
	for _, v := range r.URL.Query()["exclude"] {
		excluded.Insert(strings.Split(v, ",")...)
	}
	var out, failed strings.Builder
	var names []string
	for _, c := range list {
		if excluded.Has(c.Name) {
			excluded.Delete(c.Name)
			fmt.Fprintf(&out, "[+]%s excluded: ok\n", c.Name)
			continue
		}
		if err := c.Check(r.Context()); err != nil {
			if c.Told {
				fmt.Fprintf(&out, "[-]%s failed: %s\n", c.Name, strings.ReplaceAll(err.Error(), "\n", " "))
				continue
			}
			names = append(names, c.Name)
			fmt.Fprintf(&out, "[-]%s failed: reason withheld\n", c.Name)
			fmt.Fprintf(&failed, "%s: %v; ", c.Name, err)
			continue
		}
		fmt.Fprintf(&out, "[+]%s ok\n", c.Name)
	}
	if excluded.Delete(""); excluded.Len() > 0 {
		fmt.Fprintf(&out, "warn: some health checks cannot be excluded: no matches for %s\n", quoted(sets.List(excluded)))
	}
	if len(names) > 0 {
		h.log.Debug("health check failed", "check", kind, "failed", failed.String())
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "%s%s check failed\n", out.String(), kind)
		return nil
	}
	if verbose {
		fmt.Fprintf(w, "%s%s check passed\n", out.String(), kind)
		return nil
	}
	fmt.Fprint(w, "ok")
	return nil
}

// Unready says which checks of /readyz fail and why; an error that says none when they pass.
func (h *Hub) Unready(ctx context.Context) error {
	var failed []string
	for _, c := range h.checks.all {
		if c.Live || c.Told {
			continue
		}
		if err := c.Check(ctx); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", c.Name, err))
		}
	}
	if len(failed) == 0 {
		return errors.New("all its checks pass")
	}
	return errors.New(strings.Join(failed, "; "))
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(out, ", ")
}

func (h *Hub) oneCheck(w http.ResponseWriter, r *http.Request, list []Check, name string) error {
	i := slices.IndexFunc(list, func(c Check) bool { return c.Name == name })
	if i < 0 {
		http.NotFound(w, r)
		return nil
	}
	if err := list[i].Check(r.Context()); err != nil {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "internal server error: %v\n", err)
		return nil
	}
	fmt.Fprint(w, "ok")
	return nil
}
