package rest

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// warnings adds Warning headers while they can still be added.
type warnings struct {
	w    *recorder
	seen map[string]bool
	size int
}

const maxWarnings = 4096 // bytes in all

func newWarnings(w *recorder) *warnings { return &warnings{w: w} }

func (s *warnings) add(text string) {
	if s.seen[text] || s.w.code != 0 || text == "" || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return // what cannot be a header is left out, as upstream does
	}
	if s.size += len(text); s.size > maxWarnings {
		return
	}
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	s.seen[text] = true
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	s.w.Header().Add("Warning", "299 - "+quoted)
}
