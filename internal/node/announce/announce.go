package announce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Others learn of an address at once, and again after a second and two, lest the first frame was lost or another node still spoke.
const (
	repeats = 3
	pause   = time.Second
)

// retry is the time after which a link is tried again that could not be listened to.
const retry = 5 * time.Second

// Announcer announces addresses on the links of its network namespace. Make one with New. Set may be called from any goroutine; ears and
// owed belong to the one that runs.
type Announcer struct {
	cut  func() bool
	log  *slog.Logger
	wake chan struct{}
	want atomic.Pointer[[]netip.Addr]

	ears map[place]*ear
	owed map[place]map[netip.Addr]int // how often others are still to be told of an address
}

// place is where addresses of one family are announced.
type place struct {
	index int // of the link
	v6    bool
}

// New makes an announcer of nothing. Cut reports whether the node has lost the control plane for so long that another node may announce;
// then this one says nothing. It is asked at each frame.
func New(cut func() bool, log *slog.Logger) *Announcer {
	return &Announcer{cut: cut, log: log.With("component", "announcer"), wake: make(chan struct{}, 1)}
}

// Set says which addresses are announced from now on.
func (a *Announcer) Set(addrs []netip.Addr) {
	a.want.Store(&addrs)
	a.HostChanged()
}

// HostChanged has the links looked at again.
func (a *Announcer) HostChanged() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run announces until ctx ends.
func (a *Announcer) Run(ctx context.Context) error {
	a.ears, a.owed = map[place]*ear{}, map[place]map[netip.Addr]int{}
	var readers sync.WaitGroup
	defer readers.Wait()
	defer func() {
		for _, e := range a.ears {
			e.close()
		}
	}()
	a.HostChanged()
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
			if err := a.look(&readers); err != nil {
				a.log.Warn("addresses are not announced everywhere", "err", err)
				time.AfterFunc(retry, a.HostChanged)
			}
		case <-again.C:
		}
		if a.tell() {
			again.Reset(pause)
		}
	}
}

// look brings what is listened to to what is to be announced, and to the links that there are.
func (a *Announcer) look(readers *sync.WaitGroup) error {
	want := map[place]map[netip.Addr]bool{}
	stations := map[int]station{}
	if list := a.want.Load(); list != nil && len(*list) > 0 {
		all, err := links()
		if err != nil {
			return err
		}
		for _, l := range all {
			stations[l.index] = l.station
		}
		for _, addr := range *list {
			on := belongs(all, addr)
			if len(on) == 0 {
				a.log.Warn("no link of the node is on the network of an address that it announces", "address", addr)
			}
			for _, index := range on {
				at := place{index, addr.Is6()}
				if want[at] == nil {
					want[at] = map[netip.Addr]bool{}
				}
				want[at][addr] = true
			}
		}
	}
	for at, e := range a.ears {
		if want[at] == nil || e.broken.Load() || !e.station.equal(stations[at.index]) {
			e.close()
			delete(a.ears, at)
			delete(a.owed, at)
		}
	}
	var errs []error
	for at, addrs := range want {
		if err := a.hear(at, stations[at.index], addrs, readers); err != nil {
			errs = append(errs, fmt.Errorf("link %d: %w", at.index, err))
		}
	}
	return errors.Join(errs...)
}

// hear listens at a place for those who ask for addresses, and notes which addresses are new there.
func (a *Announcer) hear(at place, s station, addrs map[netip.Addr]bool, readers *sync.WaitGroup) error {
	e := a.ears[at]
	if e == nil {
		file, err := open(at.index, at.v6)
		if err != nil {
			return err
		}
		e = &ear{file: file, station: s}
		e.addrs.Store(&map[netip.Addr]bool{})
		a.ears[at], a.owed[at] = e, map[netip.Addr]int{}
		readers.Go(func() {
			if err := e.listen(a.cut); err != nil && e.broken.CompareAndSwap(false, true) {
				time.AfterFunc(pause, a.HostChanged)
			}
		})
	}
	had := *e.addrs.Load()
	if maps.Equal(had, addrs) {
		return nil
	}
	e.addrs.Store(&addrs)
	maps.DeleteFunc(a.owed[at], func(addr netip.Addr, _ int) bool { return !addrs[addr] })
	for addr := range addrs {
		if !had[addr] {
			a.owed[at][addr] = repeats
			a.log.Info("announcing", "address", addr, "link", at.index)
		}
	}
	if !at.v6 {
		return nil
	}
	g, err := joinGroups(at.index, slices.Collect(maps.Keys(addrs)))
	e.groups.close()
	e.groups = g
	return err
}

// tell tells others of the addresses that they have not been told of often enough, and reports whether that is so of any still.
func (a *Announcer) tell() (more bool) {
	if a.cut() {
		return false
	}
	for at, owed := range a.owed {
		e := a.ears[at]
		for addr, n := range owed {
			for _, frame := range e.station.tidings(addr) {
				_, _ = e.file.Write(frame) // a link that is down has nobody to tell
			}
			if owed[addr] = n - 1; n <= 1 {
				delete(owed, addr)
			}
		}
		more = more || len(owed) > 0
	}
	return more
}

// ear listens at one place. The announcer owns groups; addrs and broken are for its reader too.
type ear struct {
	file    *os.File
	station station
	groups  *groups
	addrs   atomic.Pointer[map[netip.Addr]bool]
	broken  atomic.Bool // the reader has ended by itself
}

// listen answers until the ear is closed, or says what keeps it from that.
func (e *ear) listen(cut func() bool) error {
	mine := func(a netip.Addr) bool { return (*e.addrs.Load())[a] && !cut() }
	buf := make([]byte, 1<<11)
	for {
		n, err := e.file.Read(buf)
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			return err // the link went down, or away
		}
		if reply := e.station.answer(buf[:n], mine); reply != nil {
			_, _ = e.file.Write(reply)
		}
	}
}

func (e *ear) close() {
	_ = e.file.Close()
	e.groups.close()
}
