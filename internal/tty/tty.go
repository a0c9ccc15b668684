package tty

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Colour is how a word is shown on a terminal.
type Colour string

// The colours there are: what is well, what wants attention, what has failed, what matters less, what matters most.
const (
	Good  Colour = "\x1b[32m"
	Warn  Colour = "\x1b[33m"
	Bad   Colour = "\x1b[31m"
	Faint Colour = "\x1b[2m"
	Bold  Colour = "\x1b[1m"
)

const (
	reset     = "\x1b[0m"
	eraseLine = "\r\x1b[K"
)

// Palette paints text for one place. Its zero value leaves text alone.
type Palette struct{ on bool }

// For is the palette of w: a terminal's, unless the environment asks for plain text (https://no-color.org).
func For(w io.Writer) Palette {
	return Palette{IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width is how many columns the terminal w has; 80 where that is not known.
func Width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return 80
}

// Paint gives text a colour.
func (p Palette) Paint(c Colour, text string) string {
	if !p.on || text == "" {
		return text
	}
	return string(c) + text + reset
}

// On reports whether there is anything but plain text to be had.
func (p Palette) On() bool { return p.on }

// Again is what begins a line that takes the place of the one before it, which had no end; "" where that cannot be.
func (p Palette) Again() string {
	if !p.on {
		return ""
	}
	return eraseLine
}
