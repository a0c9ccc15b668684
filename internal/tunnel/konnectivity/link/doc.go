// Package link carries many connections over one stream of Konnectivity's packets ([wire]). One end dials, the other is dialled:
// [Link.Dial] asks the far end for a connection and returns it as a [Conn]; the dialled end makes the connection that it is asked
// for and copies. A server is the dialling end to its agents and the dialled end to API servers; an agent is always dialled.
//
// The protocol has no flow control of its own: what the reader of one connection leaves unread fills the stream for all. Where both
// ends count credit (their headers say so), a writer never sends more of a connection than its reader has room for, so that the
// stream is always read and a slow connection delays nobody. Where the far end does not count, a connection whose reader has not
// moved for a while with its room full is closed, so that the others go on.
//
// A Link owns its connections, and on the dialled end one goroutine for each that is being made and two for each that is open.
// [Link.Run] reads the stream and returns when all of these have ended. The server, the agent and the API server's end
// (internal/tunnel/konnectivity/…) import it.
package link
