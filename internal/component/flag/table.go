package flag

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
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

// Only is the rows of some flags, in the order of their names here. A name that has no row is a mistake of the caller's.
func (t Table) Only(names ...string) Table {
	out := make(Table, len(names))
	for i, name := range names {
		at := slices.IndexFunc(t, func(r *Row) bool { return r.Name == name })
		if at < 0 {
			panic("no row --" + name)
		}
		out[i] = t[at]
	}
	return out
}

// Says replaces what the help says of a flag, where a program that several components make up means it otherwise.
func (t Table) Says(name, usage string) Table {
	t.Only(name)[0].Why = usage
	return t
}

// Values are what the flags are set to, by name.
func (t Table) Values() map[string]string {
	out := map[string]string{}
	for _, r := range t {
		if r.Name == "" {
			continue
		}
		if out[r.Name] = r.Value().String(); r.given != "" {
			out[r.Name] = r.given
		}
	}
	return out
}

// Below puts the fields of all rows that have one below a path of the configuration file; with "" they have none.
func (t Table) Below(path string) Table {
	for _, r := range t {
		switch {
		case path == "":
			r.Field = ""
		case r.Field != "":
			r.Field = path + "." + r.Field
		}
	}
	return t
}

// Add makes the table a command line: its flags are those of fs, in the table's order. A name may be written with underscores,
// as upstream allows.
func (t Table) Add(fs *pflag.FlagSet) {
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	fs.SortFlags = false
	t.AddTo(fs)
}

// AddTo adds the flags of the table to those that fs has.
func (t Table) AddTo(fs *pflag.FlagSet) {
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
