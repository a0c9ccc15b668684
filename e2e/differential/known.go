package main

import "strings"

// difference is one that stays, and why. It is known by texts that all stand in what is printed of it.
type difference struct {
	texts  []string
	reason string
}

var known = []difference{
	{texts: []string{"strategic-merge-patch", "cannot unmarshal number 2147483648 into"}, reason: "a patch with a number too large for its field is refused instead of wrapped around"},
	{texts: []string{"apply-patch", "cannot unmarshal number 2147483648 into"}, reason: "so is what is applied"},
	{[]string{"/ipaddresses/", `"kind":"Table"`}, "upstream's rows have three cells for two columns"},
	{[]string{"/daemonsets/", `"kind":"Table"`}, "the annotation for the template's generation stands beside rows here too"},
	{[]string{"/apis/autoscaling/v1/", `"kind":"Table"`}, "so do those for fields of autoscaling/v2"},
	{[]string{"/flowschemas/", "Dangling"}, "the condition Dangling is written by another manager here, not applied, and sooner"},
	{[]string{"/customresourcedefinitions", `"odd":1`}, "unknown metadata in a default stays in the definition, where upstream's validation drops it"},
	{[]string{"no answer"}, "upstream's handler panicked"},
	{[]string{"runtime error: "}, "upstream's handler panicked"},
}

// why is the reason of a known difference; "" for another.
func why(printed string) string {
	for _, d := range known {
		all := true
		for _, t := range d.texts {
			all = all && strings.Contains(printed, t)
		}
		if all {
			return d.reason
		}
	}
	return ""
}
