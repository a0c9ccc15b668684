package nft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Watch tells when somebody else takes something out of a table of ours, and if asked to, when somebody changes a table of
// others. Changes by its own batches do not count.
//
// Its batches share a socket. To close one after something was removed waits for the kernel to have let go of that, some
// 10 ms, twenty times what the change itself takes.
type Watch struct {
	table  string
	family nftables.TableFamily

	ours    func(table string) bool // see Foreign
	changed func()                  // nil: nobody asks

	mu    sync.Mutex
	idle  *nftables.Conn // for the next batch
	ports [16]uint32     // the netlink ports of the last sockets for batches
	next  int
	made  bool // a batch has been sent, so there is something to lose
}

// NewWatch makes a watch over one table.
func NewWatch(table string, family nftables.TableFamily) *Watch {
	return &Watch{table: table, family: family}
}

// Foreign has changed called, which must not block, when somebody changes a rule, a chain or a whole table that is none of
// ours. It must come before Run. What changes in a set is not told: lists of addresses that are refused change all the time.
func (w *Watch) Foreign(ours func(table string) bool, changed func()) {
	w.ours, w.changed = ours, changed
}

// Batch makes an empty batch of our own.
func (w *Watch) Batch() *Batch {
	w.mu.Lock()
	conn := w.idle
	w.idle = nil
	w.mu.Unlock()
	var err error
	if conn == nil {
		conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(wide, w.sawPort))
	}
	return &Batch{Conn: conn, err: err, end: func(ok bool) {
		if conn != nil {
			w.keep(conn, ok)
		}
	}}
}

// keep has a socket for the next batch, unless what the kernel said to it was not read to the end.
func (w *Watch) keep(conn *nftables.Conn, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made = w.made || ok
	if ok && w.idle == nil {
		w.idle = conn
		return
	}
	_ = conn.CloseLasting()
}

func (w *Watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle != nil {
		_ = w.idle.CloseLasting()
		w.idle = nil
	}
}

func (w *Watch) sawPort(c *netlink.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		addr, err := unix.Getsockname(int(fd))
		if nl, ok := addr.(*unix.SockaddrNetlink); ok {
			w.mu.Lock()
			w.ports[w.next%len(w.ports)] = nl.Pid
			w.next++
			w.mu.Unlock()
		}
		failed = err
	})
	return errors.Join(err, failed)
}

// notices is room for the kernel's account of a whole program of thousands of services, which comes at once. When it does
// not suffice, the table is looked at instead.
const notices = 8 << 20

// Run calls lost, which must not block, when something was taken out of the table by others, until ctx ends.
func (w *Watch) Run(ctx context.Context, lost func()) error {
	defer w.close()
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close()
		}
	}()
	if err := errors.Join(conn.SetReadBuffer(notices), conn.JoinGroup(unix.NFNLGRP_NFTABLES)); err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	if !w.intact() { // before anybody listened
		lost()
	}
	for {
		msgs, err := conn.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			if !w.intact() {
				lost()
			}
			if w.changed != nil {
				w.changed()
			}
		case err != nil:
			return fmt.Errorf("watch nftables: %w", err)
		default:
			if slices.ContainsFunc(msgs, w.harms) {
				lost()
			}
			if w.changed != nil && slices.ContainsFunc(msgs, w.foreign) {
				w.changed()
			}
		}
	}
}

// harms tells whether a notice is of something taken out of our table by others.
func (w *Watch) harms(m netlink.Message) bool {
	if !isNotice(m) || nftables.TableFamily(m.Data[0]) != w.family {
		return false
	}
	switch m.Header.Type & 0xff {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM:
		return tableOf(m) == w.table && !w.own(m.Header.PID)
	}
	return false
}

// foreign tells whether a notice is of a change of the rules of others.
func (w *Watch) foreign(m netlink.Message) bool {
	if !isNotice(m) {
		return false
	}
	switch m.Header.Type & 0xff {
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE, unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE:
		return !w.ours(tableOf(m)) && !w.own(m.Header.PID)
	}
	return false
}

func isNotice(m netlink.Message) bool {
	return m.Header.Type>>8 == unix.NFNL_SUBSYS_NFTABLES && len(m.Data) >= 4
}

// tableOf is the name of the table that a notice is about: of all sorts that we look at it has the same number.
func tableOf(m netlink.Message) string {
	ad, err := netlink.NewAttributeDecoder(m.Data[4:])
	if err != nil {
		return ""
	}
	for ad.Next() {
		if ad.Type() == unix.NFTA_TABLE_NAME {
			return ad.String()
		}
	}
	return ""
}

// own tells whether a socket is one of our batches'.
func (w *Watch) own(port uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.ports[:], port)
}

// intact tells whether the table is there and has rules. One that was not made yet is.
func (w *Watch) intact() bool {
	w.mu.Lock()
	made := w.made // a socket alone does not say that its batch has arrived
	w.mu.Unlock()
	conn, err := nftables.New()
	if err != nil || !made {
		return true // there is no telling
	}
	chains, err := conn.ListChainsOfTableFamily(w.family)
	if err != nil {
		return true
	}
	for _, c := range chains {
		if c.Table.Name != w.table {
			continue
		}
		if rules, err := conn.GetRules(c.Table, c); err == nil && len(rules) > 0 {
			return true
		}
	}
	return false
}
