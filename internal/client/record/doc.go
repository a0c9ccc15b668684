// Package record writes core/v1 Events for components: who saw what happen to which object.
//
// A [Recorder] never blocks its caller: events go into a bounded queue, and the one goroutine of Run correlates and
// writes them. Correlation is upstream's: equal events become one whose count grows, many similar ones become one
// "(combined from similar events)", and an object that floods is limited to 25 events and then one per five minutes.
// The state of correlation belongs to that goroutine alone.
//
// Every component that holds a door may import it.
package record
