package component

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

// gates are the names of all feature gates of v1.37.1, a line each.
//
//go:embed gates.txt
var gates string

// knownGates checks what --feature-gates is given, with upstream's errors: NAME=BOOL pairs, the names perhaps after that of a component.
func knownGates(given string) error {
	for pair := range strings.SplitSeq(given, ",") {
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok {
			return fmt.Errorf("missing bool value for %s", name)
		}
		name = strings.TrimPrefix(name, "kube:")
		if _, err := strconv.ParseBool(value); err != nil {
			return fmt.Errorf("invalid value of %s=%s, err: %w", name, value, err)
		}
		if !strings.Contains("\n"+gates, "\n"+name+"\n") {
			return fmt.Errorf("unrecognized feature gate: %s", name)
		}
	}
	return nil
}
