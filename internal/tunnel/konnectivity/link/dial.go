package link

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"sampan.dev/internal/tunnel/konnectivity/wire"
)

// Dial asks the far end for a connection to address. When ctx ends first, the request is taken back, and a connection that had been
// made by then is closed.
func (l *Link) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	random, a := rand.Int64(), &asked{address: address, answer: make(chan answer, 1)}
	l.mu.Lock()
	for random == 0 || l.mu.asked[random] != nil {
		random = rand.Int64()
	}
	if err := l.mu.ended; err != nil {
		l.mu.Unlock()
		return nil, err
	}
	l.mu.asked[random] = a
	l.mu.Unlock()
	l.later(&wire.Packet{Kind: wire.DialRequest, Protocol: network, Address: address, Random: random})
	select {
	case got := <-a.answer:
		if got.err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Addr: netAddr(address), Err: got.err}
		}
		return got.conn, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	_, pending := l.mu.asked[random]
	delete(l.mu.asked, random)
	l.mu.Unlock()
	if pending {
		l.later(&wire.Packet{Kind: wire.DialClose, Random: random})
	} else if got := <-a.answer; got.conn != nil {
		got.conn.Close()
	}
	return nil, ctx.Err()
}

// answered hands an answer to who asked. A connection that nobody waits for any more is closed.
func (l *Link) answered(p *wire.Packet) {
	l.mu.Lock()
	a := l.mu.asked[p.Random]
	if a == nil {
		l.mu.Unlock()
		if p.Error == "" && p.Conn != 0 {
			l.later(&wire.Packet{Kind: wire.CloseRequest, Conn: p.Conn})
		}
		return
	}
	delete(l.mu.asked, p.Random)
	got := answer{}
	switch {
	case p.Error != "":
		got.err = errors.New(p.Error)
	case p.Conn == 0:
		got.err = errors.New("an answer without a connection")
	default:
		// Before the next packet is read: it may be of this connection.
		if got.conn = l.openLocked(p.Conn, a.address); got.conn == nil {
			got.err = errors.New("an answer with the number of another connection")
		}
	}
	l.mu.Unlock()
	a.answer <- got
}

// giveUp ends a request: the dialling end has taken it back, or the dialled end will not carry it out.
func (l *Link) giveUp(p *wire.Packet) {
	l.mu.Lock()
	cancel, a := l.mu.making[p.Random], l.mu.asked[p.Random]
	delete(l.mu.making, p.Random)
	delete(l.mu.asked, p.Random)
	l.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if a != nil {
		a.answer <- answer{err: errors.New("the far end has given it up")}
	}
}

// make begins to carry out a request for a connection.
func (l *Link) make(p *wire.Packet) {
	if l.dial == nil {
		return
	}
	l.mu.Lock()
	if l.mu.ended != nil || l.mu.making[p.Random] != nil {
		l.mu.Unlock()
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, dialTimeout)
	l.mu.making[p.Random] = cancel
	l.mu.Unlock()
	l.wg.Go(func() {
		defer cancel()
		l.serve(ctx, p)
	})
}

// serve makes a connection and copies until it ends.
func (l *Link) serve(ctx context.Context, p *wire.Packet) {
	to, err := l.dial(ctx, p.Protocol, p.Address)
	l.mu.Lock()
	_, wanted := l.mu.making[p.Random]
	delete(l.mu.making, p.Random)
	var c *Conn
	if wanted && err == nil {
		c = l.openLocked(0, p.Address)
	}
	l.mu.Unlock()
	switch {
	case err != nil && wanted:
		l.later(&wire.Packet{Kind: wire.DialResponse, Random: p.Random, Error: err.Error()})
		return
	case err != nil:
		return
	case c == nil: // taken back, or the link has ended
		to.Close()
		return
	}
	if l.send(&wire.Packet{Kind: wire.DialResponse, Random: p.Random, Conn: c.id}) == nil {
		l.join(c, to)
	}
	c.Close()
	to.Close()
}

// drainTimeout is how long what the far end sent before it closed may take to reach where it goes.
const drainTimeout = 10 * time.Second

// join copies both ways until either side has ended.
func (l *Link) join(c *Conn, to net.Conn) {
	stop := context.AfterFunc(l.ctx, func() { to.Close() })
	defer stop()
	c.whenFar(func() { _ = to.SetWriteDeadline(time.Now().Add(drainTimeout)) })
	l.wg.Go(func() {
		_, _ = io.Copy(c, to)
		c.Close()
	})
	_, _ = c.WriteTo(to)
	c.Close()
	_ = to.SetWriteDeadline(time.Time{}) // some connections keep the timer, which keeps them
	to.Close()
}
