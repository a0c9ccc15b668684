// Command sampan-bench measures sampan, beside real Kubernetes where it is built: it starts one after the other in turn, has a
// client of its own (`sampan-bench load`) put the same load on each, and writes a table of ratios, a JSON file with every value and
// a plot for each part. README.md says how to read them.
//
// It is a module of its own so that the clients that client-go generates are not among the product's dependencies. Packages:
// part lists what is measured, side starts and stops, load is the client, report turns values into text, proc reads /proc.
package main
