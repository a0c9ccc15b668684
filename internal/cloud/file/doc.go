// Package file is a cloud that is declared in a YAML file: machines with their zones and addresses, ranges of balancers' addresses, and
// how many routes there may be. It is for machines of one's own and for trying things out. The file is watched: what is edited holds
// at once, and an edit that cannot be read changes nothing.
//
// What the cluster asked for stands beside the file, for whatever sets up routers and balancers: routes.json and balancers.json. They are
// the provider's memory too. Run watches the file in the goroutine that calls it. internal/component/cloud imports the package.
package file
