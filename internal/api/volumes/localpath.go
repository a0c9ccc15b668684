package volumes

// The provisioner of directories on nodes: who makes them, and what its parts tell each other. A node says in LocalDir where its
// directories are. To have one removed, the provisioner asks for it with the node's annotation RemovePrefix + name of the volume; the node
// answers in the annotation when it is gone.
const (
	LocalProvisioner = "sampan.dev/local-path"
	LocalNode        = "local-path.sampan.dev/node" // on a volume: the node it is on
	LocalDir         = "local-path.sampan.dev/directory"
	RemovePrefix     = "remove.local-path.sampan.dev/"
	RemoveWanted     = "wanted"
	RemoveDone       = "done"
)
