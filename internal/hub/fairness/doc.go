// Package fairness is priority and fairness: it decides which requests go on when there are more than the server takes on at a time.
// Each request belongs to a flow, by the first FlowSchema that matches it; the schema names a priority level, and a level has seats
// that its requests take. A level that is short of seats takes those that others lend and do not use; beyond that its requests wait in
// queues, where flows take turns, or are refused.
//
// It owns the counts of each level, the queues of requests that wait, and the rules made of the FlowSchemas and
// PriorityLevelConfigurations that are stored (those of upstream's defaults before any are). It runs no goroutine and has no timer but
// those of requests that wait. A request that finds a seat costs the match and a few atomic additions.
//
// Requests that come over the network are charged. Those of the doors in process are not: they are the parts of this very process,
// whose number of workers bounds what they ask for, and to have the scheduler or the kubelet wait behind its own cluster's clients
// would only make the storm longer. Only the hub imports it.
package fairness
