package hub

import (
	informers "sampan.dev/internal/client/cache"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/verb"
)

// Parts are rooms of a hub that tests of single rooms ask directly, see hubtest.
type Parts struct {
	Verbs     *verb.Engine
	Authz     *authz.Chain // nil when Config.Authorizer stands in for it
	Tokens    *authn.Tokens
	Issuer    *authn.Issuer
	Informers *informers.Set // what authorization and admission read
}

// Parts returns them; they work once the hub is ready.
func (h *Hub) Parts() Parts {
	return Parts{Verbs: h.verbs, Authz: h.guard.chain, Tokens: h.guard.tokens, Issuer: h.guard.issuer, Informers: h.set}
}
