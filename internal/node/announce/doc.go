// Package announce tells the machines of the node's networks that certain addresses are reached here, though no link of the node has them:
// it answers who asks for them (ARP for IPv4, neighbor discovery for IPv6, RFC 826 and 4861), and tells all when it begins to. What is sent
// to the addresses then comes to this node, whose proxy leads it on.
//
// The kernel is not asked to do it, by giving it the addresses: they would stay when this process dies while another node takes over. A
// node that has lost the control plane falls silent in time for another to begin ([New]).
//
// frame.go and ndp.go are pure: a frame in, a frame out. links.go says which links an address belongs to. [Announcer] owns one packet socket
// per link and family, each with a goroutine that reads it, and only while there is something to announce. internal/machine/node
// imports it.
package announce
