package aggregate

import (
	"context"

	"sampan.dev/internal/api/apiregistration"
	"sampan.dev/internal/client"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"golang.org/x/sync/errgroup"
)

// parallel writes let the store commit them in groups: a chart may bring a hundred groups at once.
const parallel = 32

// keeper keeps the APIServices of what the hub answers for itself. Those of upstream's own groups it puts right once, when it begins;
// those of custom resources as long as it runs. It touches none that the label does not give to it. The zero value has not begun.
type keeper struct {
	atStart map[string]bool // names that were there
	once    map[string]bool // names that have been put right
}

func (k *keeper) begin(have []*apiregistrationv1.APIService) {
	k.atStart, k.once = map[string]bool{}, map[string]bool{}
	for _, s := range have {
		k.atStart[s.Name] = true
	}
}

func (k *keeper) begun() bool { return k.atStart != nil }

// change is what is to be written: without have, want is made; else have becomes want, or goes when want is nil.
type change struct {
	have, want *apiregistrationv1.APIService
}

// plan says what to write so that the APIServices are those of the group versions that are served. It is upstream's table
// (kube-aggregator, checkAPIService). It looks at every APIService at each change of what is served, so it makes nothing for those
// that are right.
func (k *keeper) plan(served map[schema.GroupVersion]bool, have []*apiregistrationv1.APIService) []change {
	var out []change
	there := make(map[schema.GroupVersion]bool, len(have))
	for _, s := range have {
		gv := schema.GroupVersion{Group: s.Spec.Group, Version: s.Spec.Version}
		there[gv] = true
		if !k.ours(s) {
			continue
		}
		want, onStart := apiregistration.LocalPriority(gv)
		switch {
		case !served[gv] || want == nil:
			out = append(out, change{have: s})
		case onStart && k.once[s.Name]:
		case s.Spec.Service != nil || len(s.Spec.CABundle) > 0 || s.Spec.InsecureSkipTLSVerify ||
			s.Spec.GroupPriorityMinimum != want.Group || s.Spec.VersionPriority != want.Version:
			next := s.DeepCopy()
			next.Spec = apiregistration.Local(gv).Spec
			out = append(out, change{have: s, want: next})
		}
	}
	for gv := range served {
		want, onStart := apiregistration.LocalPriority(gv)
		if want == nil || there[gv] || onStart && k.once[gv.Version+"."+gv.Group] {
			continue
		}
		out = append(out, change{want: apiregistration.Local(gv)})
	}
	for _, s := range have {
		if k.atStart[s.Name] {
			k.once[s.Name] = true
		}
	}
	return out
}

// ours reports whether s is to be kept.
func (k *keeper) ours(s *apiregistrationv1.APIService) bool {
	switch s.Labels[apiregistration.Managed] {
	case apiregistration.ManagedContinuous:
		return true
	case apiregistration.ManagedOnStart:
		return k.atStart[s.Name] && !k.once[s.Name]
	}
	return false
}

// put writes what plan says. What fails, or was changed by somebody else meanwhile, comes up again with the next event.
func (k *keeper) put(ctx context.Context, a *Aggregator) {
	served := map[schema.GroupVersion]bool{}
	for _, kind := range a.cfg.Catalog.Now().Kinds().All() {
		served[kind.GVK().GroupVersion()] = true
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, c := range k.plan(served, a.services.List("")) {
		g.Go(func() error {
			if err := a.write(ctx, c); err != nil && ctx.Err() == nil {
				a.cfg.Log.Warn("keep the APIServices of what is served", "error", err)
			}
			return nil
		})
	}
	_ = g.Wait() // each has told of its error
}

func (a *Aggregator) write(ctx context.Context, c change) error {
	var err error
	switch {
	case c.have == nil:
		_, err = client.Create(ctx, a.cfg.Door, client.APIServices, c.want)
	case c.want == nil:
		err = client.Delete(ctx, a.cfg.Door, client.APIServices, "", c.have.Name, c.have.UID)
	default:
		_, err = client.Update(ctx, a.cfg.Door, client.APIServices, c.want)
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
