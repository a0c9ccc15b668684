package policy

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ktypes "k8s.io/apimachinery/pkg/types"
)

// manager is who owns the status of policies: the name of upstream's controller.
const manager = "validatingadmissionpolicy-status"

// CheckerConfig is what a Checker works with.
type CheckerConfig struct {
	Door     client.Interface
	Schema   Schemas
	Resource func(schema.GroupVersionResource) *api.Kind // what is served there; nil for nothing
	Log      *slog.Logger
}

// Checker writes into the status of validating policies what the types of what they are about say of their expressions.
//
// Its goroutine runs while there may be a policy to check: Told starts it, and it ends when it has found none. Several hubs may check
// the same policy; they find the same.
type Checker struct {
	cfg CheckerConfig
	mu  struct {
		sync.Mutex
		ctx     context.Context // nil before Begin
		running bool
		again   bool // told of more while running
		tasks   sync.WaitGroup
	}
}

// NewChecker makes a checker.
func NewChecker(cfg CheckerConfig) *Checker { return &Checker{cfg: cfg} }

// Begin checks policies from now on until ctx ends: those that there are, and those of which Told says that they have changed. Whoever
// begins waits in the end.
func (c *Checker) Begin(ctx context.Context) {
	c.mu.Lock()
	c.mu.ctx = ctx
	c.mu.Unlock()
	c.Told()
}

// Wait returns when nothing is checked any more. The context of Begin has ended.
func (c *Checker) Wait() { c.mu.tasks.Wait() }

// Told says that a policy has been written.
func (c *Checker) Told() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.ctx == nil || c.mu.ctx.Err() != nil:
	case c.mu.running:
		c.mu.again = true
	default:
		c.mu.running = true
		ctx := c.mu.ctx
		c.mu.tasks.Go(func() { c.work(ctx) })
	}
}

// retry is how long a checker waits when a status could not be written.
const retry = time.Second

func (c *Checker) work(ctx context.Context) {
	for {
		failed := c.round(ctx)
		if failed {
			select {
			case <-time.After(retry):
			case <-ctx.Done():
			}
		}
		c.mu.Lock()
		if ctx.Err() != nil || !failed && !c.mu.again {
			c.mu.running = false
			c.mu.Unlock()
			return
		}
		c.mu.again = false
		c.mu.Unlock()
	}
}

// round checks every policy that has changed since it was last checked. It reports whether one could not be.
func (c *Checker) round(ctx context.Context) (failed bool) {
	list, err := client.ListAll[*admissionv1.ValidatingAdmissionPolicy](ctx, c.cfg.Door, client.ValidatingPolicies, "", metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return false // a hub that does not serve the kind
	}
	if err != nil {
		return true
	}
	for _, p := range list {
		if p.Generation <= p.Status.ObservedGeneration {
			continue
		}
		if err := c.write(ctx, p); err != nil && !apierrors.IsNotFound(err) {
			c.cfg.Log.Warn("status of an admission policy not written", "policy", p.Name, "error", err)
			failed = true
		}
	}
	return failed
}

// write applies the status of a policy.
func (c *Checker) write(ctx context.Context, p *admissionv1.ValidatingAdmissionPolicy) error {
	found := map[string]any{}
	if w := c.warnings(p); len(w) > 0 {
		found["expressionWarnings"] = w
	}
	data, err := json.Marshal(map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": map[string]any{"name": p.Name},
		"status": map[string]any{"observedGeneration": p.Generation, "typeChecking": found},
	})
	if err != nil {
		return err
	}
	ref := client.Ref{Resource: client.ValidatingPolicies, Name: p.Name, Subresource: "status"}
	_, err = c.cfg.Door.Patch(ctx, ref, ktypes.ApplyYAMLPatchType, data, metav1.PatchOptions{FieldManager: manager, Force: new(true)})
	return err
}
