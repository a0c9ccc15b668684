// Package provider asks programs for the credentials of registries: the credential providers of upstream's kubelet
// (--image-credential-provider-config, --image-credential-provider-bin-dir). Each is asked for the images that it is configured for, with a
// token of the pod's service account where it wants one, and what it says is kept for as long as it says.
//
// Read (config.go) reads the configuration and refuses what upstream refuses; Set (provider.go) owns what is kept and starts the
// programs (exec.go), each for a minute at most and once at a time for one question. It has no goroutines of its own. node/image imports it.
package provider
