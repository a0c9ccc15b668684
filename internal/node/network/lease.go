package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// lease is one pod attachment: who has an address, and what was made for it.
type lease struct {
	Address     netip.Addr `json:"address"`
	ContainerID string     `json:"containerID"`
	IfName      string     `json:"ifName"`
	NetNS       string     `json:"netns"`
	Link        string     `json:"link"`
	Namespace   string     `json:"namespace,omitempty"`
	Pod         string     `json:"pod,omitempty"`
	Ports       []hostPort `json:"ports,omitempty"`
}

func (l *lease) key() string { return l.ContainerID + "/" + l.IfName }

// hostPort is one entry of the portMappings capability. HostIP "" means every address of the node.
type hostPort struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP,omitempty"`
}

// ledger keeps the leases, each in a file named by its address. A file is written whole beside its place and renamed, so
// after a crash each is there or not; a lease whose network namespace is gone is nobody's (sweep).
type ledger struct {
	dir string
	now func() time.Time

	mu       sync.Mutex
	cidr     netip.Prefix
	byAddr   map[netip.Addr]*lease
	byKey    map[string]*lease
	released map[netip.Addr]time.Time
	next     uint64
}

// reuseAfter is how long a freed address rests, so that late packets and stale caches do not meet a new pod.
const reuseAfter = time.Minute

var errNoAddress = errors.New("no free pod address")

func openLedger(dir string) (*ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	l := &ledger{dir: dir, now: time.Now, byAddr: map[netip.Addr]*lease{}, byKey: map[string]*lease{}, released: map[netip.Addr]time.Time{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			_ = os.Remove(filepath.Join(dir, e.Name())) // a write that a crash cut short
			continue
		}
		addr, err := netip.ParseAddr(e.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		var le lease
		if err := json.Unmarshal(data, &le); err != nil || le.Address != addr {
			_ = os.Remove(filepath.Join(dir, e.Name())) // power was lost before the content reached the disk; so is the pod
			continue
		}
		l.byAddr[addr], l.byKey[le.key()] = &le, &le
	}
	return l, nil
}

// setRange tells which range new addresses come from. Leases from an older range stay until they are released.
func (l *ledger) setRange(cidr netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cidr = cidr.Masked()
	l.next = 2
	for a := range l.byAddr { // go on after the highest, as if the counter had been kept
		if l.cidr.Contains(a) {
			l.next = max(l.next, offset(l.cidr, a)+1)
		}
	}
}

// take gives want an address and writes it down; want.Address and want.Link are filled in. An attachment that exists
// already keeps its address.
func (l *ledger) take(want lease, link func(netip.Prefix, netip.Addr) string) (*lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cidr.IsValid() {
		return nil, fmt.Errorf("the node has no pod range yet")
	}
	if old := l.byKey[want.key()]; old != nil {
		want.Address, want.Link = old.Address, old.Link
	} else {
		addr, err := l.pickLocked()
		if err != nil {
			return nil, err
		}
		want.Address, want.Link = addr, link(l.cidr, addr)
	}
	if err := l.writeLocked(&want); err != nil {
		return nil, err
	}
	delete(l.released, want.Address)
	l.byAddr[want.Address], l.byKey[want.key()] = &want, &want
	return &want, nil
}

// pickLocked goes round the range, past addresses that rest; when only those are left, the one that rested longest.
func (l *ledger) pickLocked() (netip.Addr, error) {
	size := uint64(1) << (32 - l.cidr.Bits())
	if size < 4 {
		return netip.Addr{}, fmt.Errorf("pod range %s is too small: %w", l.cidr, errNoAddress)
	}
	var oldest netip.Addr
	now := l.now()
	first, last := uint64(2), size-2 // without the network's, the gateway's and the broadcast address
	for range last - first + 1 {
		if l.next < first || l.next > last {
			l.next = first
		}
		addr := at(l.cidr, l.next)
		l.next++
		if l.byAddr[addr] != nil {
			continue
		}
		freed, rests := l.released[addr]
		if !rests || now.Sub(freed) >= reuseAfter {
			delete(l.released, addr)
			return addr, nil
		}
		if !oldest.IsValid() || freed.Before(l.released[oldest]) {
			oldest = addr
		}
	}
	if oldest.IsValid() {
		return oldest, nil
	}
	return netip.Addr{}, fmt.Errorf("pod range %s is used up: %w", l.cidr, errNoAddress)
}

func (l *ledger) writeLocked(le *lease) error {
	data, err := json.Marshal(le)
	if err != nil {
		return err
	}
	path := filepath.Join(l.dir, le.Address.String())
	tmp := filepath.Join(l.dir, "."+le.Address.String())
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("write lease: %w", err)
	}
	return os.Rename(tmp, path)
}

// find returns the lease of an attachment, or nil.
func (l *ledger) find(containerID, ifName string) *lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byKey[containerID+"/"+ifName]
}

// release frees an address. A lease that was replaced meanwhile stays.
func (l *ledger) release(le *lease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byAddr[le.Address] != le {
		return nil
	}
	if err := os.Remove(filepath.Join(l.dir, le.Address.String())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("release %s: %w", le.Address, err)
	}
	delete(l.byAddr, le.Address)
	delete(l.byKey, le.key())
	l.released[le.Address] = l.now()
	return nil
}

func (l *ledger) all() []*lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*lease, 0, len(l.byAddr))
	for _, le := range l.byAddr {
		out = append(out, le)
	}
	return out
}
