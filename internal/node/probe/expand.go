package probe

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Expand replaces $(NAME) in s by what lookup knows; an unknown name stays as it is, and $$ is a plain $ (so that $$(NAME)
// is $(NAME)).
func Expand(s string, lookup func(name string) (string, bool)) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(s[i+2:], ')')
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			name := s[i+2 : i+2+end]
			if v, ok := lookup(name); ok {
				b.WriteString(v)
			} else {
				b.WriteString(s[i : i+3+end])
			}
			i += 2 + end
		default:
			b.WriteString(s[i : i+2])
			i++
		}
	}
	return b.String()
}

// ExpandStatic expands a probe's command by the literal variables of the container. Variables that come from elsewhere are
// not known here and stay as written.
func ExpandStatic(cmd []string, env []corev1.EnvVar) []string {
	lookup := func(name string) (string, bool) {
		for i := len(env) - 1; i >= 0; i-- {
			if env[i].Name == name && env[i].ValueFrom == nil {
				return env[i].Value, true
			}
		}
		return "", false
	}
	out := make([]string, len(cmd))
	for i, s := range cmd {
		out[i] = Expand(s, lookup)
	}
	return out
}
