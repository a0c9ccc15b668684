// Package plugins finds the programs on a node that want to work with the kubelet: CSI drivers, DRA drivers, device plugins.
//
// Such a program, or the registrar beside it, puts a socket below <kubelet root>/plugins_registry and answers there who it is: its type, its
// name, where its own service listens and in which versions (pluginregistration v1). A [Watcher] asks each socket that comes, hands the
// program to the [Handler] of its type, and tells it how that ended. It tells the handler when the socket is gone. A socket that another
// has taken the place of counts as gone and come.
//
// A Watcher owns the folder and runs one goroutine, which waits for changes of it, and one more for each socket that is there.
// The kubelet imports it.
package plugins
