package loop

import (
	"errors"
	"log/slog"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestLevel(t *testing.T) {
	pending := Pending{Err: errors.New("x")}
	pods := schema.GroupResource{Resource: "pods"}
	for name, c := range map[string]struct {
		err  error
		n    int
		want slog.Level
	}{
		"some error":                   {errors.New("x"), 1, slog.LevelWarn},
		"conflict":                     {apierrors.NewConflict(pods, "a", errors.New("x")), 20, slog.LevelDebug},
		"gone":                         {apierrors.NewNotFound(pods, "a"), 1, slog.LevelDebug},
		"gone again":                   {apierrors.NewNotFound(pods, "a"), 2, slog.LevelWarn},
		"under way":                    {pending, patience - 1, slog.LevelDebug},
		"under way for long":           {pending, patience, slog.LevelWarn},
		"under way, and another error": {errors.Join(pending, errors.New("y")), 1, slog.LevelWarn},
	} {
		if got := level(c.err, c.n); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
