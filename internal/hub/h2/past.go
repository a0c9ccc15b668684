package h2

// past remembers how the streams that were closed last were closed: what a frame on a closed stream means depends on that.
// It is a ring; what it has forgotten was closed long ago. Guarded by conn.mu.
type past struct {
	ids [128]uint32 // newest at next-1; the top bit, which stream ids do not have, says that we broke the stream off
	n   uint8
}

const brokenOff = 1 << 31

func (p *past) note(id uint32, ours bool) {
	if ours {
		id |= brokenOff
	}
	p.ids[p.n%uint8(len(p.ids))] = id
	p.n++
}

// fate is what became of a stream that is no more.
type fate uint8

const (
	unknown fate = iota // never opened, or long ago
	closed              // both sides had ended it, or the client had broken it off
	broken              // we broke it off, which the client need not know yet
)

func (p *past) of(id uint32) fate {
	for i := range p.ids {
		have := p.ids[(int(p.n)+2*len(p.ids)-1-i)%len(p.ids)]
		if have&^brokenOff != id {
			continue
		}
		if have&brokenOff != 0 {
			return broken
		}
		return closed
	}
	return unknown
}
