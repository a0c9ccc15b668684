// Package userspace makes Services reachable where the kernel has no packet filter for it: it listens at the addresses of
// Services and hands connections and datagrams on to their endpoints.
//
// The pure part is [balancer]: which endpoint a client gets, session affinity included. Around it stand the addresses, which
// routes of type local make the machine's own, one socket for each Service port that has endpoints, and the relays of
// TCP and UDP. An [Applier] owns all of that: one goroutine per socket, two per connection, one per flow of datagrams; all end
// with its Run. internal/component/proxy and internal/machine may import it.
package userspace
