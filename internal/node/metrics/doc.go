// Package metrics counts what a kubelet does and tells of it at /metrics, under upstream's names and with upstream's help texts and
// stability levels.
//
// Counts is where other rooms count; families.go is the literal list of what is counted. What can be seen when somebody asks (pods,
// containers) is not counted but read then (State). The exposition is Prometheus' library's, which is made ready at the
// first scrape: a kubelet that nobody scrapes holds a map. It has no goroutines. The kubelet and the rooms that count import it.
package metrics
