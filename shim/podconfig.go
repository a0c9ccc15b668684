package main

import (
	"errors"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// podConfig is the part of the CRI's PodSandboxConfig that a sandbox needs. It is decoded by field numbers (runtime/v1/api.proto):
// the generated package would be initialized at the start of every container, because each starts as a copy of this program.
type podConfig struct {
	hostname          string // field 2
	dns               bool   // 4
	servers, searches []string
	options           []string
	cgroupParent      string            // 8.1
	network, pid, ipc namespaceMode     // 8.2.1.1 to 3
	userNamespace     bool              // 8.2.1.5 with mode POD
	sysctls           map[string]string // 8.3
}

type namespaceMode uint64

const nodeMode namespaceMode = 2 // the host's namespace; any other mode is one of the pod's own

var errPodConfig = errors.New("not a PodSandboxConfig")

// readPodConfig decodes a PodSandboxConfig.
func readPodConfig(b []byte) (*podConfig, error) {
	c := &podConfig{sysctls: map[string]string{}}
	err := eachField(b, func(number protowire.Number, v []byte, _ uint64) error {
		switch number {
		case 2:
			c.hostname = string(v)
		case 4:
			c.dns = true
			return eachField(v, func(number protowire.Number, v []byte, _ uint64) error {
				switch number {
				case 1:
					c.servers = append(c.servers, string(v))
				case 2:
					c.searches = append(c.searches, string(v))
				case 3:
					c.options = append(c.options, string(v))
				}
				return nil
			})
		case 8:
			return eachField(v, c.linux)
		}
		return nil
	})
	return c, err
}

// linux decodes a field of LinuxPodSandboxConfig.
func (c *podConfig) linux(number protowire.Number, v []byte, _ uint64) error {
	switch number {
	case 1:
		c.cgroupParent = string(v)
	case 2:
		return eachField(v, func(number protowire.Number, v []byte, _ uint64) error {
			if number != 1 {
				return nil
			}
			return eachField(v, c.namespaces)
		})
	case 3:
		var key, value string
		err := eachField(v, func(number protowire.Number, v []byte, _ uint64) error {
			switch number {
			case 1:
				key = string(v)
			case 2:
				value = string(v)
			}
			return nil
		})
		c.sysctls[key] = value
		return err
	}
	return nil
}

// namespaces decodes a field of NamespaceOption.
func (c *podConfig) namespaces(number protowire.Number, v []byte, n uint64) error {
	switch number {
	case 1:
		c.network = namespaceMode(n)
	case 2:
		c.pid = namespaceMode(n)
	case 3:
		c.ipc = namespaceMode(n)
	case 5:
		c.userNamespace = true
		return eachField(v, func(number protowire.Number, _ []byte, n uint64) error {
			if number == 1 {
				c.userNamespace = namespaceMode(n) != nodeMode
			}
			return nil
		})
	}
	return nil
}

// eachField calls use for each field of a message: with v for messages and strings, with n for numbers.
func eachField(b []byte, use func(number protowire.Number, v []byte, n uint64) error) error {
	for len(b) > 0 {
		number, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return errPodConfig
		}
		b = b[size:]
		var v []byte
		var n uint64
		switch kind {
		case protowire.BytesType:
			v, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		default:
			size = protowire.ConsumeFieldValue(number, kind, b)
		}
		if size < 0 {
			return errPodConfig
		}
		b = b[size:]
		if err := use(number, v, n); err != nil {
			return err
		}
	}
	return nil
}

// settings returns the pod's sysctls, sorted, and those that every pod with a network of its own gets: its processes may listen on
// every port and ping without privileges.
func (c *podConfig) settings() []string {
	all := map[string]string{}
	if c.network != nodeMode {
		all["net.ipv4.ip_unprivileged_port_start"] = "0"
		if !c.userNamespace { // whose groups are fewer, and whose root may ping
			all["net.ipv4.ping_group_range"] = "0 2147483647"
		}
	}
	maps.Copy(all, c.sysctls)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, k+"="+all[k])
	}
	return out
}
