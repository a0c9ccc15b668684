package nft

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Batch collects changes that take effect together.
type Batch struct {
	*nftables.Conn
	err error
	end func(ok bool) // may be nil
}

// bufferSize is what a whole program of thousands of services needs; the kernel counts only what is used.
const bufferSize = 64 << 20

// NewBatch makes an empty batch for the network namespace of the calling process.
func NewBatch() *Batch {
	conn, err := nftables.New(nftables.WithSockOptions(wide))
	return &Batch{Conn: conn, err: err}
}

func wide(c *netlink.Conn) error {
	return errors.Join(c.SetWriteBuffer(bufferSize), c.SetReadBuffer(bufferSize))
}

// perMessage keeps an elements attribute below 64 KiB, the longest that netlink can say.
const perMessage = 400

// Add adds elements to a set or map.
func (b *Batch) Add(s *nftables.Set, elems []nftables.SetElement) {
	for chunk := range slices.Chunk(elems, perMessage) {
		b.keep(b.SetAddElements(s, chunk))
	}
}

// Remove takes elements, which must be there, out of a set or map.
func (b *Batch) Remove(s *nftables.Set, elems []nftables.SetElement) {
	for chunk := range slices.Chunk(elems, perMessage) {
		b.keep(b.SetDeleteElements(s, chunk))
	}
}

// Set adds an empty set or map.
func (b *Batch) Set(s *nftables.Set) { b.keep(b.AddSet(s, nil)) }

// Rule appends a rule.
func (b *Batch) Rule(c *nftables.Chain, rule ...Exprs) {
	b.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: slices.Concat(rule...)})
}

// Fresh replaces a table, whatever was in it, by an empty one.
func (b *Batch) Fresh(t *nftables.Table) {
	b.AddTable(t) // so that there is one to remove
	b.DelTable(t)
	b.AddTable(t)
}

func (b *Batch) keep(err error) {
	if err != nil && b.err == nil {
		b.err = err
	}
}

// Commit sends the batch.
func (b *Batch) Commit() error {
	err := b.err
	if err == nil {
		if err = b.Flush(); err != nil {
			err = fmt.Errorf("nftables: %w", err)
		}
	}
	if b.end != nil {
		b.end(err == nil)
	}
	return err
}

// Missing tells whether an error says that the kernel has no nf_tables.
func Missing(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT)
}

// DropTables removes those tables of the given names that exist.
func DropTables(names ...string) error {
	b := NewBatch()
	if b.err != nil {
		return b.err
	}
	tables, err := b.ListTables()
	if Missing(err) || errors.Is(err, os.ErrNotExist) {
		return nil // a kernel without nf_tables has none
	}
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	for _, t := range tables {
		if slices.Contains(names, t.Name) {
			b.DelTable(t)
		}
	}
	return b.Commit()
}
