// Package audit records who asked for what and how it ended, as events of audit.k8s.io/v1: a [Policy] says how much of each request, a
// [Trail] gathers what one request's event says, a [Sink] keeps events (a file that is turned over, a webhook, both).
//
// A [Log] is a policy and a sink; a nil one records nothing and costs nothing. Sinks that gather events before they keep them
// ([Batched], [File]) have a timer only while there are some. The hub and client/local import it; other rooms add notes to the event
// of the request that they work for by [Annotate].
package audit
