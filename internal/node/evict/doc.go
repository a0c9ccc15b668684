// Package evict says when a node is short of memory, disk or process ids, which pods exceed limits of their own on its disk, and whom to evict.
//
// [State] compares what is seen of the machine with upstream's thresholds, hard and soft, and remembers since when they have been crossed;
// [Rank] sorts pods by which goes first, [Exceeds] and the messages are functions of values too. [Manager] is the shell around them: it is
// asked to look every ten seconds by somebody else's timer, and runs no goroutines. node/podhost, which measures, and the kubelet import it.
package evict
