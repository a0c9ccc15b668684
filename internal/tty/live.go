package tty

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Live prints lines and, on a terminal, keeps a last one below them that says what is going on and for how long. Elsewhere there are the
// lines alone, and no goroutine. mu guards what is on the terminal; the goroutine of a Live that is on ends with End.
type Live struct {
	w       io.Writer
	palette Palette
	what    string
	began   time.Time
	over    func()        // stops the goroutine; nil when there is none
	ended   chan struct{} // closed by the goroutine
	mu      struct {
		sync.Mutex
		drawn bool // the last line is there
	}
}

// tick is how often the last line is written again.
const tick = 100 * time.Millisecond

// NewLive begins; what stands in the last line, before the time.
func NewLive(w io.Writer, what string) *Live { return newLive(w, For(w), what) }

func newLive(w io.Writer, p Palette, what string) *Live {
	l := &Live{w: w, palette: p, what: what, began: time.Now()}
	if !p.On() {
		return l
	}
	stop := make(chan struct{})
	l.over, l.ended = sync.OnceFunc(func() { close(stop) }), make(chan struct{})
	go l.run(stop) // until End
	return l
}

func (l *Live) run(stop <-chan struct{}) {
	defer close(l.ended)
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			l.mu.Lock()
			fmt.Fprint(l.w, l.palette.Again(), l.palette.Paint(Faint, fmt.Sprintf("  %s … %.1f s", l.what, time.Since(l.began).Seconds())))
			l.mu.drawn = true
			l.mu.Unlock()
		}
	}
}

// Print writes a line above the last one.
func (l *Live) Print(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.eraseLocked()
	fmt.Fprintln(l.w, line)
}

func (l *Live) eraseLocked() {
	if l.mu.drawn {
		fmt.Fprint(l.w, l.palette.Again())
		l.mu.drawn = false
	}
}

// End takes the last line away. Lines can be printed afterwards.
func (l *Live) End() {
	if l.over == nil {
		return
	}
	l.over()
	<-l.ended
	l.mu.Lock()
	defer l.mu.Unlock()
	l.eraseLocked()
}

// Palette is that of the place where the lines go.
func (l *Live) Palette() Palette { return l.palette }
