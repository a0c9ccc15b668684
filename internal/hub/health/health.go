package health

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
)

// IsPath reports whether a path is one of /livez, /readyz and /healthz, or below one of them.
func IsPath(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first == "livez" || first == "readyz" || first == "healthz"
}

// of lists the checks of one of the three paths.
func (c *Checks) of(kind string) []Check {
	return slices.DeleteFunc(slices.Clone(c.all), func(one Check) bool {
		return one.Ready && kind != "readyz" || one.Live && kind == "readyz"
	})
}

// Paths are the paths of the single checks.
func (c *Checks) Paths() []string {
	var out []string
	for _, kind := range []string{"healthz", "livez", "readyz"} {
		for _, one := range c.of(kind) {
			out = append(out, "/"+kind+"/"+one.Name)
		}
	}
	return out
}

// Serve answers /livez, /readyz, /healthz and the single checks below them.
func (c *Checks) Serve(w http.ResponseWriter, r *http.Request) error {
	kind, one, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	list := c.of(kind)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if one != "" {
		return oneCheck(w, r, list, one)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, verbose := r.URL.Query()["verbose"]
	excluded := sets.New[string]()
	for _, v := range r.URL.Query()["exclude"] {
		excluded.Insert(strings.Split(v, ",")...)
	}
	var out, failed strings.Builder
	var names []string
	for _, c := range list {
		if excluded.Has(c.Name) {
			excluded.Delete(c.Name)
			fmt.Fprintf(&out, "[+]%s excluded: ok\n", c.Name)
			continue
		}
		if err := c.Check(r.Context()); err != nil {
			if c.Told {
				fmt.Fprintf(&out, "[-]%s failed: %s\n", c.Name, strings.ReplaceAll(err.Error(), "\n", " "))
				continue
			}
			names = append(names, c.Name)
			fmt.Fprintf(&out, "[-]%s failed: reason withheld\n", c.Name)
			fmt.Fprintf(&failed, "%s: %v; ", c.Name, err)
			continue
		}
		fmt.Fprintf(&out, "[+]%s ok\n", c.Name)
	}
	if excluded.Delete(""); excluded.Len() > 0 {
		fmt.Fprintf(&out, "warn: some health checks cannot be excluded: no matches for %s\n", quoted(sets.List(excluded)))
	}
	if len(names) > 0 {
		c.log.Debug("health check failed", "check", kind, "failed", failed.String())
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "%s%s check failed\n", out.String(), kind)
		return nil
	}
	if verbose {
		fmt.Fprintf(w, "%s%s check passed\n", out.String(), kind)
		return nil
	}
	fmt.Fprint(w, "ok")
	return nil
}

// Unready says which checks of /readyz fail and why; an error that says none when they pass.
func (c *Checks) Unready(ctx context.Context) error {
	var failed []string
	for _, c := range c.all {
		if c.Live || c.Told {
			continue
		}
		if err := c.Check(ctx); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", c.Name, err))
		}
	}
	if len(failed) == 0 {
		return errors.New("all its checks pass")
	}
	return errors.New(strings.Join(failed, "; "))
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(out, ", ")
}

func oneCheck(w http.ResponseWriter, r *http.Request, list []Check, name string) error {
	i := slices.IndexFunc(list, func(c Check) bool { return c.Name == name })
	if i < 0 {
		http.NotFound(w, r)
		return nil
	}
	if err := list[i].Check(r.Context()); err != nil {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "internal server error: %v\n", err)
		return nil
	}
	fmt.Fprint(w, "ok")
	return nil
}
