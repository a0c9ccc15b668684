// Package server is Konnectivity's server: agents connect to it and keep the connection, and connections into their network are
// made through them. The hub of the same process asks for one with [Server.DialContext]; API servers elsewhere ask over gRPC or by
// HTTP's CONNECT ([Server.ServeFrontends]).
//
// Which agent makes a connection: one that is known to stand where the address is (an agent that has proved to be a node stands
// where its Node object says; others say themselves where they stand), or else by the strategies, any one that is connected.
//
// It owns the list of agents. A goroutine of gRPC's runs for each agent and each API server's stream; connections that the hub asks
// for cost none. The plane and the component import it.
package server
