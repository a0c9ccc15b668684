// Package report turns the values of runs into medians, ratios and verdicts, and those into a table, a JSON file and plots. All of
// it is pure: values go in, text comes out. It starts no goroutine and touches no file.
package report
