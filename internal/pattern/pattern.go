package pattern

import (
	"regexp"
	"sync"
)

// Pattern is a regular expression; it may be used by several goroutines at once.
type Pattern struct {
	expr     string
	compiled func() *regexp.Regexp
}

// New returns the pattern of expr, which must be a regular expression: its first use panics otherwise.
func New(expr string) *Pattern {
	return &Pattern{expr, sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })}
}

// String returns the expression.
func (p *Pattern) String() string { return p.expr }

// MatchString is as regexp.Regexp has it; so are the others.
func (p *Pattern) MatchString(s string) bool { return p.compiled().MatchString(s) }

func (p *Pattern) FindStringSubmatch(s string) []string { return p.compiled().FindStringSubmatch(s) }

func (p *Pattern) ReplaceAllString(s, by string) string { return p.compiled().ReplaceAllString(s, by) }
