// Package image makes the images of containers present on the node: it asks the runtime whether it has them, pulls what it has
// not with the credentials of the pod, and says why an image is missing in the words that a container's status shows.
//
// Names, credentials and the back-off after failed pulls are pure (name.go, credential.go, backoff.go); Puller is the shell that
// asks the runtime. It owns which images are being pulled now, and runs no goroutines. The kubelet imports it.
package image
