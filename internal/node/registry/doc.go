// Package registry makes containerd's host configuration (certs.d/HOST/hosts.toml) of one file that describes registries, in the form
// that k3s and RKE2 have made known: mirrors with endpoints and rewrites, TLS files and credentials by host.
//
// [Parse] and [Registries.Hosts] are pure; [Write] keeps a folder equal to what they say and removes what it wrote before and is no
// longer said. containerd reads the folder at each pull, so that a change needs no restart of anything. It owns that folder.
// internal/machine/engine imports it.
package registry
