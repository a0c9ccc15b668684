package rest

import "strings"

// warnings adds Warning headers while they can still be added.
type warnings struct {
	w    *recorder
	seen map[string]bool
	size int
}

const maxWarnings = 4096 // bytes in all

func newWarnings(w *recorder) *warnings { return &warnings{w: w} }

func (s *warnings) add(text string) {
	if s.seen[text] || s.w.code != 0 || text == "" {
		return
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
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
