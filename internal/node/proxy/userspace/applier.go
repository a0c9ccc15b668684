package userspace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"sampan.dev/internal/node/proxy"
)

// Mode is what /proxyMode answers and --proxy-mode takes.
const Mode = "userspace"

// tryAgain is how long the applier waits before it tries again what could not be had, such as a port that another program has.
const tryAgain = 5 * time.Second

// Config says whose listeners these are.
type Config struct {
	Instance string         // of the cluster on this machine: "", or eight hexadecimal digits
	V6       bool           // the IPv6 addresses rather than the IPv4 ones
	Pods     []netip.Prefix // pods' addresses; externalTrafficPolicy Local does not hold for them. May be empty.
	Log      *slog.Logger
	// Tell reports, as an event, what people have to know. It does not block; nil is nobody.
	Tell func(reason, message string)
}

// Reasons of events about the node.
const (
	ReasonAddressElsewhere = "ServiceAddressUnavailable"
	ReasonPortUnavailable  = "ServicePortUnavailable"
)

// errStopped is what the applier says of changes while it does not run.
var errStopped = errors.New("userspace proxy: it was stopped")

// Applier keeps one address family's listeners equal to a ruleset. mu guards all fields below it: the goroutine of the proxy
// changes them, that of Run retries what failed and ends all. fronts holds a key exactly while its entry has endpoints and
// its socket is open; unopened says of the others why not.
type Applier struct {
	cfg    Config
	log    *slog.Logger
	routes routes
	again  chan struct{} // something is to be tried again

	mu       sync.Mutex
	stopped  bool
	life     context.Context // of connections and flows
	end      context.CancelFunc
	wg       *sync.WaitGroup // listeners, connections and flows
	entries  map[proxy.Key]proxy.Entry
	fronts   map[proxy.Key]*front
	unopened map[proxy.Key]string
	holds    *addresses

	toldStandIn bool
}

// front is one open socket and who its clients are handed on to.
type front struct {
	bal *balancer
	server
}

// server is the part of a front that differs by protocol.
type server interface {
	serve()    // until close
	retarget() // endpoints have changed
	close()
}

// New makes an applier; Reset comes before Apply. It opens nothing.
func New(cfg Config) *Applier {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Tell == nil {
		cfg.Tell = func(string, string) {}
	}
	a := &Applier{cfg: cfg, log: cfg.Log.With("component", "proxy"), routes: newRoutes(cfg.Instance, cfg.V6), again: make(chan struct{}, 1)}
	a.begin()
	return a
}

// begin has nothing open and nothing known.
func (a *Applier) begin() {
	a.life, a.end = context.WithCancel(context.Background())
	a.wg = &sync.WaitGroup{}
	a.entries, a.fronts, a.unopened = map[proxy.Key]proxy.Entry{}, map[proxy.Key]*front{}, map[proxy.Key]string{}
	a.holds = newAddresses(a.routes)
}

// Mode implements proxy.Applier.
func (a *Applier) Mode() string { return Mode }

// Run implements proxy.Applier: it tries again what failed, and at the end closes every listener and connection and takes the
// addresses back. It never calls lost but to be filled anew after an earlier Run.
func (a *Applier) Run(ctx context.Context, lost func()) error {
	a.mu.Lock()
	if a.stopped {
		a.stopped = false
		a.begin()
		lost()
	}
	a.mu.Unlock()
	defer a.stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.again:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tryAgain):
		}
		a.retry()
	}
}

func (a *Applier) stop() {
	a.mu.Lock()
	a.stopped = true
	for _, f := range a.fronts {
		f.close()
	}
	a.end()
	a.fronts = map[proxy.Key]*front{}
	if err := a.holds.releaseAll(); err != nil {
		a.log.Error("cannot take back the addresses of services", "err", err)
	}
	wg := a.wg
	a.mu.Unlock()
	wg.Wait()
}

// Reset implements proxy.Applier. What is as it should be stays open, so that nobody's connection breaks.
func (a *Applier) Reset(all *proxy.Delta) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return errStopped
	}
	if err := a.holds.adopt(); err != nil {
		a.log.Warn("cannot see which addresses an earlier proxy left", "err", err)
	}
	for k := range a.entries {
		if c, ok := all.Changes[k]; !ok || c.New == nil {
			a.set(k, nil)
		}
	}
	a.apply(all)
	return a.holds.releaseUnused()
}

// Apply implements proxy.Applier. A port that cannot be had is no error of the whole: it is told, and tried again.
func (a *Applier) Apply(d *proxy.Delta) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return errStopped
	}
	a.apply(d)
	return nil
}

func (a *Applier) apply(d *proxy.Delta) {
	for _, ip := range d.AddClusterIPs {
		a.holds.cluster[ip] = true
	}
	// What goes is closed first: its port may be what another needs.
	for _, gone := range []bool{true, false} {
		for k, c := range d.Changes {
			if a.mine(k) && (c.New == nil) == gone {
				a.set(k, c.New)
			}
		}
	}
	for _, ip := range d.DelClusterIPs {
		delete(a.holds.cluster, ip)
	}
}

// mine tells whether a key is of this family.
func (a *Applier) mine(k proxy.Key) bool { return !k.Addr.IsValid() || k.Addr.Is6() == a.cfg.V6 }

// set gives a key a meaning, nil for none. The address stays held while there is an entry, with endpoints or without, so that
// without any the kernel refuses connections instead of sending them out into the world.
func (a *Applier) set(k proxy.Key, e *proxy.Entry) {
	_, had := a.entries[k]
	if e == nil {
		if had {
			delete(a.entries, k)
			a.shut(k)
			if err := a.holds.release(k.Addr); err != nil {
				a.log.Error("cannot take back the address of a service", "err", err)
			}
		}
		return
	}
	a.entries[k] = *e
	if !had {
		a.hold(k)
	}
	if e.Front == nil && e.Near == nil {
		a.shut(k)
		return
	}
	if f := a.fronts[k]; f != nil {
		f.bal.set(*e)
		f.retarget()
		return
	}
	a.open(k, *e)
}

// hold makes the key's address one that can be listened at, or tells that it is not. Of ClusterIPs that have places in 127/8 one
// event speaks for all.
func (a *Applier) hold(k proxy.Key) {
	first, err := a.holds.hold(k.Addr)
	if err == nil || !first {
		return
	}
	if a.holds.standing(k.Addr) != standIn {
		a.log.Warn("the address of a service cannot be made this machine's own: it does not answer", "address", k.Addr, "err", err)
		a.cfg.Tell(ReasonAddressElsewhere, "The address "+k.Addr.String()+" of a Service cannot be made this node's own, so it does not answer: "+err.Error())
		return
	}
	at := listenAt(k.Addr, standIn, a.cfg.V6)
	a.log.Warn("a cluster IP cannot be made this machine's own: it answers at a loopback address to this node alone", "address", k.Addr, "at", at, "err", err)
	if !a.toldStandIn {
		a.toldStandIn = true
		a.cfg.Tell(ReasonAddressElsewhere, fmt.Sprintf("ClusterIPs cannot be made this node's own: %v; they answer at loopback addresses to this node alone (%s at %s), and pods reach Services by node ports only", err, k.Addr, at))
	}
}

func (a *Applier) shut(k proxy.Key) {
	delete(a.unopened, k)
	if f := a.fronts[k]; f != nil {
		f.close()
		delete(a.fronts, k)
	}
}

// open listens for a key. Where that fails it is told once for each cause, and tried again.
func (a *Applier) open(k proxy.Key, e proxy.Entry) {
	bal := newBalancer(e)
	s, err := a.listen(k, bal)
	if err == nil {
		delete(a.unopened, k)
		f := &front{bal, s}
		a.fronts[k] = f
		a.wg.Go(f.serve)
		return
	}
	if was := a.unopened[k]; was != err.Error() {
		a.tellUnopened(k, err)
	}
	a.unopened[k] = err.Error()
	if !errors.Is(err, errSCTP) {
		select {
		case a.again <- struct{}{}:
		default:
		}
	}
}

func (a *Applier) tellUnopened(k proxy.Key, err error) {
	if errors.Is(err, errElsewhere) {
		a.log.Info("a service is not listened for here", "address", name(k), "why", err)
		return
	}
	a.log.Error("cannot listen for a service", "address", name(k), "err", err)
	a.cfg.Tell(ReasonPortUnavailable, "Cannot listen for a Service at "+name(k)+": "+err.Error())
}

// retry opens what could not be opened.
func (a *Applier) retry() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return
	}
	for k := range a.unopened {
		a.open(k, a.entries[k])
	}
}
