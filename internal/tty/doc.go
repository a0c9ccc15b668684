// Package tty dresses text for a terminal: colours, and lines that are written again. Where there is no terminal, or NO_COLOR or
// TERM=dumb asks for it, text stays as it is. It owns no data. cmd/sampan and whoever prints for a person import it.
package tty
