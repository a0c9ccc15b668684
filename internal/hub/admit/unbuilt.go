package admit

import (
	"context"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/unbuilt"
)

// notYet warns of what a written object asks for and nothing acts upon yet. Nobody is refused by it: what the API accepts it
// accepts as upstream does.
type notYet struct{}

func (notYet) Name() string { return "NotYetBuilt" }

func (notYet) Validate(_ context.Context, a *Attributes) error {
	if a.Operation != Create && a.Operation != Update || !unbuilt.Resources[a.Kind.Resource] || a.Subresource != "" && a.Subresource != "resize" {
		return nil
	}
	obj, ok := a.Object.(api.Object)
	if !ok {
		return nil
	}
	old, _ := a.Old.(api.Object)
	for _, s := range unbuilt.Warnings(obj, old, a.Subresource) {
		a.Warn(s)
	}
	return nil
}
