package api

import "k8s.io/apimachinery/pkg/runtime"

// Connect describes a subresource that is a stream: the hub authorizes and admits the request, and then hands it on to where
// it is carried out, together with its connection. It has no body of its own and takes as long as it likes.
type Connect struct {
	// Options makes an empty struct of the query parameters, which OpenAPI describes (PodLogOptions).
	Options func() runtime.Object

	// Reads says that the stream is the answer to a plain read, which admission is not asked about (log).
	Reads bool

	// Paths says that what follows the subresource in the URL belongs to it (proxy); elsewhere such a URL is not found. A
	// proxied request may also have the methods HEAD and OPTIONS.
	Paths bool

	// Acts tells whether a stream does something at its far end, such as starting a process in a container. Its caller must
	// have the right to create the subresource, whatever method opens the stream: a WebSocket begins with GET, and nothing
	// keeps SPDY from it. rest is what follows the subresource in the URL, with a leading slash, or "". Nil means never.
	Acts func(rest string) bool
}

// AlwaysActs is for streams that act whatever their URL says.
func AlwaysActs(string) bool { return true }
