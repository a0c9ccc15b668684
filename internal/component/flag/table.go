package flag

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/pflag"
)

// Table is all that a component knows of its command line and its file.
type Table []*Row

// Join makes one table of a component's own rows and of groups that components share.
func Join(tables ...Table) Table {
	var out Table
	for _, t := range tables {
		out = append(out, t...)
	}
	return out
}

// Add puts the flags of the table into fs. A name may be written with underscores, as upstream allows.
func (t Table) Add(fs *pflag.FlagSet) {
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	fs.SortFlags = false
	for _, r := range t {
		if r.Name == "" {
			continue
		}
		usage := r.Why
		switch r.Verdict {
		case Accepted:
			usage = "(no effect) " + r.Why
		case Refused:
			usage = "(not supported) " + r.Why
		}
		f := &pflag.Flag{Name: r.Name, Usage: usage, Value: r.Value(), DefValue: r.Value().String()}
		if r.Name == "v" {
			f.Shorthand = "v"
		}
		if r.Type == "bool" {
			f.NoOptDefVal = "true"
		}
		fs.AddFlag(f)
	}
}

// Note logs what was given and has no effect, a line for each, with the reason.
func (t Table) Note(log *slog.Logger) {
	for _, r := range t {
		if r.Verdict == Accepted && r.given != "" {
			log.Info("setting has no effect", "setting", r.Label(), "value", r.given, "reason", r.Why)
		}
	}
}

// at finds the row of a field.
func (t Table) at(field string) (*Row, bool) {
	for _, r := range t {
		if r.Field == field {
			return r, true
		}
	}
	return nil, false
}

// below reports whether some row's field lies below a path, so that the path is a group of settings rather than one.
func (t Table) below(path string) bool {
	for _, r := range t {
		if strings.HasPrefix(r.Field, path+".") {
			return true
		}
	}
	return false
}

// Usage is an error of the command line or the file rather than of the work.
type Usage struct{ Err error }

func (u Usage) Error() string { return u.Err.Error() }
func (u Usage) Unwrap() error { return u.Err }

// Parse reads a command line. Arguments beside the flags are refused, in upstream's words.
func Parse(fs *pflag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		return Usage{err}
	}
	if fs.NArg() > 0 {
		return Usage{fmt.Errorf("unknown command %q", fs.Arg(0))}
	}
	return nil
}
