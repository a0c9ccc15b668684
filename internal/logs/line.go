package logs

import (
	"encoding/json"
	"strings"
	"time"
)

// record is what is known of a line of the log. A line that is none of the logger's (a stack, a program's last words) belongs to the one
// before it.
type record struct {
	ok   bool
	at   time.Time
	part string // which part of the process says it; "" for the process itself
	of   string // which part it is about, where the process says it of one
}

// parse reads a line as the text or the JSON form of the logger has it.
func parse(line string) record {
	if strings.HasPrefix(line, "{") {
		return parseJSON(line)
	}
	value, ok := strings.CutPrefix(line, "time=")
	if !ok {
		return record{}
	}
	stamp, _, _ := strings.Cut(value, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	return record{ok: err == nil, at: at, part: attribute(line, " component="), of: attribute(line, " part=")}
}

func parseJSON(line string) record {
	var r struct {
		Time      time.Time `json:"time"`
		Component string    `json:"component"`
		Part      string    `json:"part"`
	}
	if json.Unmarshal([]byte(line), &r) != nil || r.Time.IsZero() {
		return record{}
	}
	return record{ok: true, at: r.Time, part: r.Component, of: r.Part}
}

// attribute is the value behind the last mention of a name: a component within another has both, and the inner one comes last. A
// message that quotes one is taken for it, which shows a line too many.
func attribute(line, name string) string {
	i := strings.LastIndex(line, name)
	if i < 0 {
		return ""
	}
	value := line[i+len(name):]
	if quoted, ok := strings.CutPrefix(value, `"`); ok {
		value, _, _ = strings.Cut(quoted, `"`)
		return value
	}
	value, _, _ = strings.Cut(value, " ")
	return value
}

// suffix is what the names of all controllers end with.
const suffix = "-controller"

// concerns reports whether a record is of the part that somebody asks for: "controllers" are all of them, and one of them can be asked
// for without the end of its name.
func (r record) concerns(part string) bool {
	for _, have := range []string{r.part, r.of} {
		switch {
		case have == "":
		case have == part, have == part+suffix, part == "controllers" && strings.HasSuffix(have, suffix):
			return true
		}
	}
	return false
}
