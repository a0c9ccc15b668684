// Package agent is Konnectivity's agent: it runs in the network of the nodes, dials the server and keeps the connection, and makes
// the connections that the server asks for. With several servers behind one address it keeps a connection to each.
//
// [Agent.Run] owns a goroutine for each server that it is connected to, and those of the links (konnectivity/link). While it is
// connected to as many servers as there are, it waits without a timer. The node's parts and the component import it.
package agent
