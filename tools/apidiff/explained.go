package main

import (
	"os"
	"regexp"
	"strings"
)

// explanations are patterns of keys: "*" stands for anything but slashes and spaces, "**" for anything.
type explanations []string

var firstCell = regexp.MustCompile("^\\| `((?:discovery|order|column|path|definition|openapi/v3|metric|check|object) [^`]*)` \\|")

// readExplained takes the keys of a document: what its tables have in backquotes in their first column.
func readExplained(file string) (explanations, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out explanations
	for _, line := range strings.Split(string(data), "\n") {
		if m := firstCell.FindStringSubmatch(line); m != nil {
			out = append(out, m[1])
		}
	}
	return out, nil
}

// of is the first pattern that fits a key; "" for none.
func (e explanations) of(key string) string {
	for _, p := range e {
		text := regexp.QuoteMeta(p)
		text = strings.ReplaceAll(text, `\*\*`, ".*")
		text = strings.ReplaceAll(text, `\*`, "[^/ ]*")
		if regexp.MustCompile("^" + text + "$").MatchString(key) {
			return p
		}
	}
	return ""
}
