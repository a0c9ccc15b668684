package health

import (
	"context"
	"errors"
	"log/slog"
)

// Checks are all the checks of a server. Those that others set are its fields.
type Checks struct {
	Caches    *Mark // the watch caches that are needed at the start are loaded
	Informers *Mark // what authorization and admission read is known
	Bootstrap *Mark // the objects that every cluster has are written
	Shutdown  *Mark // fails from when the server begins to end

	all []Check
	log *slog.Logger
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

// New lists the checks in upstream's order and under its names. store asks the stores whether they answer; more are listed
// before the last one.
func New(store func(context.Context) error, more []Check, log *slog.Logger) *Checks {
	notYet := errors.New("not finished")
	c := &Checks{Caches: NewMark(notYet), Informers: NewMark(notYet), Bootstrap: NewMark(notYet), Shutdown: NewMark(nil), log: log}
	fine := func(context.Context) error { return nil }
	c.all = []Check{
		{Name: "ping", Check: fine},
		{Name: "log", Check: fine},
		{Name: "loopback-serving-certificate", Check: fine, Live: true},
		{Name: "etcd", Check: store},
		{Name: "etcd-readiness", Check: store, Ready: true},
		{Name: "informer-sync", Check: c.Caches.Check, Ready: true},
	}
	for _, name := range informerHooks {
		c.all = append(c.all, Check{Name: "poststarthook/" + name, Check: c.Informers.Check})
	}
	for _, name := range bootstrapHooks {
		c.all = append(c.all, Check{Name: "poststarthook/" + name, Check: c.Bootstrap.Check})
	}
	c.all = append(c.all, Check{Name: "autoregister-completion", Check: c.Bootstrap.Check},
		Check{Name: "poststarthook/apiservice-openapi-controller", Check: fine},
		Check{Name: "poststarthook/apiservice-openapiv3-controller", Check: fine})
	c.all = append(c.all, more...)
	c.all = append(c.all, Check{Name: "shutdown", Check: c.Shutdown.Check, Ready: true})
	return c
}
