package flag

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Verdict is what a component does with a flag.
type Verdict int

// The three verdicts.
const (
	Honoured Verdict = iota // it has upstream's effect
	Accepted                // it is taken and has no effect, which harms nobody; the log says so
	Refused                 // any value but the harmless ones is an error that says why
)

func (v Verdict) String() string { return [...]string{"honoured", "accepted", "refused"}[v] }

// Row is one flag, or one field of a configuration file, or both: upstream lets many settings be given either way.
type Row struct {
	Name    string // of the flag without dashes; "" for what only the file has
	Field   string // path in the file ("authentication.anonymous.enabled"); "" for what only the command line has
	Verdict Verdict
	Why     string // of a flag that is honoured what it does, of another the reason
	Type    string // upstream's name of the type: "duration", "strings", …
	Default string // as upstream prints it: "1m0s", "[RS256]"; "" for a zero value

	value pflag.Value        // of a flag that is honoured
	fine  []string           // values beside the default that a refusing row takes
	given string             // of the other rows: what was given, "" for nothing
	check func(string) error // of the other rows: what else is wrong with a value; nil: nothing
}

// Set makes a row that is honoured: its value goes where value points.
func Set(name string, value pflag.Value, usage string) *Row {
	return &Row{Name: name, Verdict: Honoured, Why: usage, Type: value.Type(), Default: value.String(), value: value}
}

// Ignore makes a row that is accepted: a value of the type is taken and has no effect.
func Ignore(name, typ, def, why string) *Row {
	return &Row{Name: name, Verdict: Accepted, Why: why, Type: typ, Default: def}
}

// Refuse makes a row that takes the default, or one of the values of [Row.But], and answers any other with the reason.
func Refuse(name, typ, def, why string) *Row {
	return &Row{Name: name, Verdict: Refused, Why: why, Type: typ, Default: def}
}

// At says which field of the configuration file has the same meaning.
func (r *Row) At(field string) *Row { r.Field = field; return r }

// But adds values that a refusing row takes.
func (r *Row) But(values ...string) *Row { r.fine = append(r.fine, values...); return r }

// Checked adds a check to a row that is not honoured, whose values must still make sense.
func (r *Row) Checked(check func(string) error) *Row { r.check = check; return r }

// Label is how errors name the row: by its flag, or by its field.
func (r *Row) Label() string {
	if r.Name != "" {
		return "--" + r.Name
	}
	return r.Field
}

// Value is what parses the row's text.
func (r *Row) Value() pflag.Value {
	if r.value != nil {
		return r.value
	}
	return &inert{r}
}

// inert is the value of a row that is not honoured. It checks the syntax, so that a typing error is found here as it is upstream.
type inert struct{ row *Row }

func (v *inert) String() string { return strings.Trim(v.row.Default, `"`) }
func (v *inert) Type() string   { return v.row.Type }

func (v *inert) Set(s string) error {
	if err := syntax(v.row.Type, s); err != nil {
		return err
	}
	if v.row.Verdict == Refused && !v.row.harmless(s) {
		return fmt.Errorf("not supported: %s", v.row.Why)
	}
	if v.row.check != nil {
		if err := v.row.check(s); err != nil {
			return err
		}
	}
	v.row.given = s
	return nil
}

// harmless reports whether a value changes nothing: the default, or one that is as good.
func (r *Row) harmless(s string) bool {
	if slices.Contains(r.fine, s) {
		return true
	}
	def := strings.Trim(r.Default, `"`)
	def = strings.TrimSuffix(strings.TrimPrefix(def, "["), "]")
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	switch r.Type {
	case "bool":
		a, _ := strconv.ParseBool(s)
		b, _ := strconv.ParseBool(def)
		return a == b
	case "duration":
		a, _ := time.ParseDuration(s)
		b, _ := time.ParseDuration(def)
		return a == b
	case "int", "int32", "float", "float32":
		a, _ := strconv.ParseFloat(s, 64)
		b, _ := strconv.ParseFloat(def, 64)
		return a == b
	}
	return s == def
}

// syntax checks a text against upstream's type of a flag.
func syntax(typ, s string) (err error) {
	switch typ {
	case "bool":
		_, err = strconv.ParseBool(s)
	case "int":
		_, err = strconv.Atoi(s)
	case "int32":
		_, err = strconv.ParseInt(s, 10, 32)
	case "float", "float32":
		_, err = strconv.ParseFloat(s, 64)
	case "duration":
		if s != "0" {
			_, err = time.ParseDuration(s)
		}
	case "mapStringString", "mapStringBool", "stringToString":
		_, err = pairs(s)
	}
	return err
}
