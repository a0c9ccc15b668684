package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// loopbackName is the name that runtimes ask for to have the loopback link of a pod set up. The bundled runtime does that
// itself; of those that do not, some come without the plugin.
const loopbackName = "loopback"

func isLoopback(program string) bool {
	return program[strings.LastIndexByte(program, '/')+1:] == loopbackName
}

// loopback sets the link up in the network namespace of the request, and says so as the specification has it.
func loopback(command string, conf []byte) ([]byte, *failure) {
	var known struct {
		CNIVersion string `json:"cniVersion"`
	}
	if err := json.Unmarshal(conf, &known); err != nil {
		return nil, &failure{CNIVersion: "1.0.0", Code: codeDecoding, Msg: "decode configuration", Details: err.Error()}
	}
	if command != "ADD" {
		return nil, nil // it goes with its namespace
	}
	netns := os.Getenv("CNI_NETNS")
	if err := setUp(netns, "lo"); err != nil {
		return nil, &failure{CNIVersion: known.CNIVersion, Code: codeIO, Msg: "set up lo in " + netns, Details: err.Error()}
	}
	type address struct {
		Version   string `json:"version,omitempty"` // before 1.0.0
		Interface int    `json:"interface"`
		Address   string `json:"address"`
	}
	v4, v6 := address{"", 0, "127.0.0.1/8"}, address{"", 0, "::1/128"}
	if strings.HasPrefix(known.CNIVersion, "0.") {
		v4.Version, v6.Version = "4", "6"
	}
	out, err := json.Marshal(map[string]any{
		"cniVersion": known.CNIVersion,
		"interfaces": []any{map[string]string{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": netns}},
		"ips":        []any{v4, v6},
		"dns":        struct{}{},
	})
	if err != nil {
		return nil, &failure{CNIVersion: known.CNIVersion, Code: codeDecoding, Msg: "encode result", Details: err.Error()}
	}
	return append(out, '\n'), nil
}

// setUp sets the flag of a link in a network namespace. The thread stays there: the process ends with this.
func setUp(netns, link string) error {
	runtime.LockOSThread()
	fd, err := syscall.Open(netns, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if _, _, errno := syscall.Syscall(sysSetns, uintptr(fd), syscall.CLONE_NEWNET, 0); errno != 0 {
		return errno
	}
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var req struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], link)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(s), syscall.SIOCGIFFLAGS, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	req.flags |= syscall.IFF_UP
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(s), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	return nil
}
