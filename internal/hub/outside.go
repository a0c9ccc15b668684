package hub

import (
	"net/netip"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/admit/match"
	"sampan.dev/internal/hub/admit/policy"
	"sampan.dev/internal/hub/admit/static"
	"sampan.dev/internal/hub/admit/webhook"
	"sampan.dev/internal/hub/custom"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/hub/openapi"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// outside is admission that asks others: webhooks, and policies that administrators write. Its parts exist from the start and do nothing until something is configured.
type outside struct {
	hooks    webhook.Hooks
	policies policy.Policies
	checker  *policy.Checker
	files    map[string]*static.Files // by plugin
}

func (h *Hub) newOutside(g *guard) (*outside, error) {
	files, err := h.openFiles()
	if err != nil {
		return nil, err
	}
	m := &match.Config{Door: h.own, Equivalent: func(k *api.Kind) []*api.Kind { return h.catalog.Now().Equivalent(k) }}
	out := h.cfg.Egress
	if out == nil {
		out = egress.New(egress.Config{Own: h.listeners})
	}
	return &outside{
		files: files,
		hooks: webhook.New(webhook.Config{
			Match: m, Door: h.own, Authorizer: g.authz, Egress: out, Askers: h.cfg.Webhooks, Metrics: webhook.NewMetrics(h.metrics.Register), Log: h.log,
			Mutating: files["MutatingAdmissionWebhook"].Lists, Validating: files["ValidatingAdmissionWebhook"].Lists,
		}),
		policies: policy.New(policy.Config{
			Match: m, Door: h.own, Authorizer: g.authz, Kind: h.kind, Types: h.patches.Converter, Metrics: policy.NewMetrics(h.metrics.Register),
			MutatingFiles: files["MutatingAdmissionPolicy"].Lists, ValidatingFiles: files["ValidatingAdmissionPolicy"].Lists,
		}),
		checker: policy.NewChecker(policy.CheckerConfig{Door: h.own, Schema: openapi.Resolve, Resource: h.resource, Log: h.log}),
	}, nil
}

// openFiles reads the folders of the plugins that have one and are on.
func (h *Hub) openFiles() (map[string]*static.Files, error) {
	var metrics *static.Metrics
	files := map[string]*static.Files{}
	for plugin, dir := range h.cfg.Admission.Manifests {
		if h.cfg.DisableAdmission[plugin] {
			continue
		}
		if metrics == nil {
			metrics = static.NewMetrics(h.who.Name(), h.metrics.Register)
		}
		f, err := static.Open(plugin, dir, metrics, h.log)
		if err != nil {
			return nil, err
		}
		files[plugin] = f
	}
	return files, nil
}

// reread has the next write see what files say now.
func (o *outside) reread() {
	o.hooks.Reread()
	o.policies.Reread()
}

func (o *outside) plugins() admit.Outside {
	return admit.Outside{
		MutatingPolicy: o.policies.Mutating, MutatingWebhook: o.hooks.Mutating, ValidatingPolicy: o.policies.Validating, ValidatingWebhook: o.hooks.Validating,
		PolicyParameters: o.policies.Parameters,
	}
}

// converting is what asks webhooks that convert custom resources; nil for a hub that asks nobody.
func (h *Hub) converting() custom.Caller {
	if h.outside == nil {
		return nil
	}
	return h.outside.hooks.Call
}

// tell returns what is to be called when an object of a kind has been written; nil for kinds that nobody wants to know of.
func (h *Hub) tell(k *api.Kind) func() {
	if k.Group != "admissionregistration.k8s.io" {
		return nil
	}
	r := k.GVR()
	return func() {
		if o := h.outside; o != nil {
			o.hooks.Told(r)
			o.policies.Told(r)
			if r == client.ValidatingPolicies {
				o.checker.Told()
			}
		}
	}
}

// resource is the kind that is served at a resource; nil for nothing.
func (h *Hub) resource(r schema.GroupVersionResource) *api.Kind {
	return h.catalog.Now().Kinds().Resource(r)
}

// listeners are the hub's own, which it does not connect to.
func (h *Hub) listeners() []netip.AddrPort {
	if h.cfg.Listener == nil {
		return nil
	}
	at, err := netip.ParseAddrPort(h.cfg.Listener.Addr().String())
	if err != nil {
		return nil
	}
	return []netip.AddrPort{at}
}
