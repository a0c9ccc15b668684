package main

import "strings"

// difference is one that stays, and why. It is known by its theme ("" for all) and texts that all stand in its line.
type difference struct {
	theme  string
	texts  []string
	reason string
}

var known = []difference{
	{"cronjob", []string{"only on the peer", "MissingJob"}, "upstream may look again before it sees its own status, and miss a Job that it has just removed"},
	{"nodeloss", []string{"daemonsets/", " status."}, "upstream does not count again when a node is deleted; here the status follows"},
	{"daemonset", []string{"daemonsets/", " status."}, "so it is where a scene of DaemonSets deletes a node"},
	{"statefulset", []string{"only on the peer", "FailedUpdate", "for delete policy ownerRefs: Operation cannot be fulfilled"}, "upstream's controllers get in each other's way at a claim, and try again"},
}

// why is the reason of a known difference; "" for another.
func why(theme, line string) string {
	for _, d := range known {
		all := d.theme == "" || d.theme == theme
		for _, t := range d.texts {
			all = all && strings.Contains(line, t)
		}
		if all {
			return d.reason
		}
	}
	return ""
}
