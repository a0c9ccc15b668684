package hostnet

import "net"

// Address is the address that the host would use to reach the world. A host without a route uses its first address that is
// not a loopback's.
func Address() (net.IP, error) {
	if ip, err := Routed(); err == nil {
		return ip, nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP, nil
		}
	}
	return net.IPv4(127, 0, 0, 1), nil
}

// Routed is the address that packets to the world leave with: connecting a datagram socket sends nothing and makes the
// kernel choose.
func Routed() (net.IP, error) {
	c, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).IP, nil
}
