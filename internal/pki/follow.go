package pki

import (
	"net"
	"time"
)

// Rename tells what the API server is reached by from now on, as Config's Names and IPs do. A certificate that lacks one of them
// is issued anew, in place; one that names more stays.
func (s *Store) Rename(names []string, ips []net.IP) error {
	s.mu.Lock()
	s.cfg.Names, s.cfg.IPs = names, ips
	s.mu.Unlock()
	return s.renew(time.Now())
}
