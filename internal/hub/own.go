package hub

import "sampan.dev/internal/client"

// own is the hub's own client. Authorization, admission, hooks and handlers read through it and are what the verbs are made
// of, which it calls: so it is handed out before it leads anywhere, and New gives it the client to call last. Nothing is
// called before Run.
type own struct{ client.Interface }

var _ client.Near = (*own)(nil)

// Near implements client.Near.
func (*own) Near() {}
