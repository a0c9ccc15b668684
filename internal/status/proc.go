package status

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What the kernel says of a process, read below proc, which is /proc but for tests.

// process is the subcommand that a process runs, when it was started, and its log when that is a file.
func process(proc string, pid int, log string) (command string, since *time.Time, file string) {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	if args, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
		if fields := bytes.Split(args, []byte{0}); len(fields) > 1 {
			command = string(fields[1])
		}
	}
	if t, ok := startTime(proc, pid); ok {
		since = &t
	}
	if command == "up" {
		return command, since, log
	}
	if target, err := os.Readlink(filepath.Join(dir, "fd", "2")); err == nil && strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "/dev/") {
		file = target
	}
	return command, since, file
}

// ticks of the kernel's clock in a second, as /proc counts them on every architecture that Linux runs on today.
const ticks = 100

// startTime is when a process was started: the 22nd field of its stat, in ticks since the machine started.
func startTime(proc string, pid int) (time.Time, bool) {
	stat, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return time.Time{}, false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // the name in brackets may hold anything
	if len(fields) < 20 {
		return time.Time{}, false
	}
	after, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	all, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return time.Time{}, false
	}
	for _, line := range strings.Split(string(all), "\n") {
		if boot, ok := strings.CutPrefix(line, "btime "); ok {
			at, err := strconv.ParseInt(strings.TrimSpace(boot), 10, 64)
			return time.Unix(at, 0).Add(time.Duration(after) * time.Second / ticks), err == nil
		}
	}
	return time.Time{}, false
}

// listening are the TCP addresses that a process accepts connections on.
func listening(proc string, pid int) []netip.AddrPort {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	own := sockets(filepath.Join(dir, "fd"))
	var out []netip.AddrPort
	for _, table := range []string{"tcp", "tcp6"} {
		data, err := os.ReadFile(filepath.Join(dir, "net", table))
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(data), "\n")[1:] {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == listenState && own[f[9]] {
				if at, err := parseAddr(f[1]); err == nil {
					out = append(out, at)
				}
			}
		}
	}
	return out
}

const listenState = "0A" // TCP_LISTEN of the kernel's tcp_states.h

// sockets are the inodes of a process's sockets.
func sockets(dir string) map[string]bool {
	entries, _ := os.ReadDir(dir)
	own := map[string]bool{}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); err == nil && ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return own
}

// parseAddr reads "0100007F:192B": the address in words of four bytes, each in the machine's order, which is the little one wherever
// sampan runs, and the port.
func parseAddr(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("address %q", s)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.LittleEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q", s)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

// named gives the ports in use their names, lowest first, each once for each address.
func named(at []netip.AddrPort, names map[uint16]string) []Port {
	var out []Port
	for _, a := range at {
		host := a.Addr().String()
		if a.Addr().IsUnspecified() {
			host = "*"
		}
		out = append(out, Port{a.Port(), host, names[a.Port()]})
	}
	slices.SortFunc(out, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.Address, b.Address))
	})
	return slices.Compact(out)
}
