// Package part is the literal list of what is measured: for each part its sizes, how it is run, its metrics and their gates. A part
// runs against one side at a time through an Env, which starts the side, runs loads as processes and gathers values. It starts no
// goroutines that outlive a call.
package part
