package price

import (
	"bytes"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/yaml"
	goyaml "sigs.k8s.io/yaml/goyaml.v2"
)

// YAML is JSON for a YAML document. It looks in two steps: how many nodes there are as it is written, for each of which the
// parser makes some hundred bytes, and what it becomes when names stand for what they name.
func YAML(data []byte, into any) error {
	if looksLikeJSON(data) {
		return JSON(data, into)
	}
	if nodes(data) > maxFields {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d fields and elements", maxFields))
	}
	if bytes.ContainsRune(data, '&') && bytes.ContainsRune(data, '*') {
		var v any
		if goyaml.Unmarshal(data, &v) != nil {
			return nil // the decoder will say why
		}
		left := int64(maxDecoded)
		if spend(v, &left); left < 0 {
			return apierrors.NewBadRequest("error converting YAML to JSON: yaml: document contains excessive aliasing")
		}
	}
	if len(data) < priceFrom && !suspect(data) {
		return nil
	}
	doc, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	return inJSON(doc, into)
}

func looksLikeJSON(data []byte) bool {
	for _, c := range data {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return c == '{' || c == '['
	}
	return false
}

// spend takes what a value takes as JSON from left, and stops when nothing is left: a name that stands for a long text costs
// nothing until it is written out.
func spend(v any, left *int64) {
	if *left -= 16; *left < 0 {
		return
	}
	switch v := v.(type) {
	case string:
		*left -= int64(len(v))
	case []any:
		for i := range v {
			spend(v[i], left)
		}
	case map[any]any:
		for k, inner := range v {
			spend(k, left)
			spend(inner, left)
		}
	}
}

// nodes counts, about and rather too many, the nodes of a YAML document: lines that are no text in a block, and members of
// lists and maps in brackets.
func nodes(data []byte) int {
	n, depth, text := 0, 0, -1 // text: indentation of the line whose block of text this is; -1 for none
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		indent := len(line) - len(bytes.TrimLeft(line, " "))
		if text >= 0 {
			if indent > text || len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			text = -1
		}
		n += 2
		if depth == 0 && blockOfText(line) {
			text = indent
			continue
		}
		var in int
		if in, depth = inBrackets(line, depth); in > 0 {
			n += in
		}
		if n > maxFields {
			break
		}
	}
	return n
}

// blockOfText reports whether a line ends with the sign that what follows is text: "|" or ">", perhaps with "+", "-" or a digit.
func blockOfText(line []byte) bool {
	s := strings.TrimRight(string(line[max(0, len(line)-8):]), " \r")
	s = strings.TrimRight(s, "+-0123456789")
	return strings.HasSuffix(s, " |") || strings.HasSuffix(s, " >") || s == "|" || s == ">"
}

// inBrackets counts the members in brackets on a line that begins depth brackets deep, and returns how deep its end is.
func inBrackets(line []byte, depth int) (n, end int) {
	quote := byte(0)
	before := byte(' ')
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && strings.IndexByte(" [{,:-", before) >= 0:
			quote = c
		case (c == '[' || c == '{') && (depth > 0 || strings.IndexByte(" [{,:-", before) >= 0):
			depth++
			n++
		case (c == ']' || c == '}') && depth > 0:
			depth--
		case c == ',' && depth > 0:
			n++
		}
		before = c
	}
	return n, depth
}
