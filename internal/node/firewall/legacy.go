package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// legacyTable is the filter table of the legacy iptables, beside nft's and seen by none of its tools.
const legacyTable = "iptables-legacy filter"

// legacyTool is the program that reads and writes it, or "".
func legacyTool() string {
	if path, err := exec.LookPath("iptables-legacy"); err == nil {
		return path
	}
	path, err := exec.LookPath("iptables")
	if err != nil {
		return ""
	}
	if out, err := exec.Command(path, "--version").Output(); err != nil || bytes.Contains(out, []byte("nf_tables")) {
		return ""
	}
	return path
}

// hasLegacy tells whether this network namespace has the table.
func hasLegacy() bool {
	names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	return err == nil && slices.Contains(strings.Fields(string(names)), "filter")
}

// readLegacy reads the legacy filter table, if there is one: to ask for it would make it.
func readLegacy() ([]*Table, error) {
	if !hasLegacy() {
		return nil, nil
	}
	tool := legacyTool()
	if tool == "" {
		return nil, nil // whoever made it took the tool along; nobody can say what is in it
	}
	out, err := exec.Command(tool, "-w", "-t", "filter", "-S").Output()
	if err != nil {
		return nil, fmt.Errorf("%s -S: %w", tool, withStderr(err))
	}
	return []*Table{parseLegacy(string(out))}, nil
}

func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}

// parseLegacy reads what "iptables -S" prints.
func parseLegacy(listing string) *Table {
	t := &Table{Name: legacyTable, Chains: map[string]*Chain{}}
	for line := range strings.Lines(listing) {
		args := words(line)
		if len(args) < 2 {
			continue
		}
		switch name := args[1]; args[0] {
		case "-P":
			c := &Chain{Table: t, Name: name, Base: true, Policy: Accept}
			c.Hook = map[string]Hook{"INPUT": Input, "FORWARD": Forward, "OUTPUT": Output}[name]
			if len(args) > 2 && args[2] == "DROP" {
				c.Policy = Drop
			}
			t.Chains[name] = c
		case "-N":
			t.Chains[name] = &Chain{Table: t, Name: name, Policy: Accept}
		case "-A":
			if c := t.Chains[name]; c != nil {
				c.Rules = append(c.Rules, legacyRule(uint64(len(c.Rules)+1), strings.TrimSpace(line), args[2:]))
			}
		}
	}
	return t
}

// words splits a line as a shell would, as far as iptables quotes.
func words(line string) []string {
	var out []string
	quoted, word := false, strings.Builder{}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quoted && i+1 < len(line):
			i++
			word.WriteByte(line[i])
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\n') && !quoted:
			if word.Len() > 0 {
				out = append(out, word.String())
				word.Reset()
			}
		default:
			word.WriteByte(c)
		}
	}
	if word.Len() > 0 {
		out = append(out, word.String())
	}
	return out
}

func legacyRule(number uint64, line string, args []string) Rule {
	r := Rule{Handle: number, Text: line}
	var tests []func(*Packet) bool
	verdict, to := Continue, ""
	for i := 0; i < len(args); i++ {
		inverted := args[i] == "!"
		if inverted {
			i++
		}
		if i+1 >= len(args) { // an option without a value: not known
			tests = append(tests, never)
			break
		}
		option, value := args[i], args[i+1]
		i++
		switch option {
		case "-j", "-g":
			verdict, to = legacyVerdict(option, value)
			i = len(args) // what follows belongs to the target
		case "--comment":
			r.Comment = value
		case "-m":
		default:
			test := legacyTest(option, value)
			if test == nil {
				test, inverted = never, false
			}
			tests = append(tests, func(p *Packet) bool { return test(p) != inverted })
		}
	}
	r.Decide = func(p *Packet) (Verdict, string) {
		for _, ok := range tests {
			if !ok(p) {
				return Continue, ""
			}
		}
		return verdict, to
	}
	return r
}

func never(*Packet) bool { return false }

func legacyVerdict(option, target string) (Verdict, string) {
	switch target {
	case "ACCEPT", "NFQUEUE", "QUEUE":
		return Accept, ""
	case "DROP", "REJECT":
		return Drop, ""
	case "RETURN":
		return Return, ""
	}
	if option == "-g" {
		return Goto, target
	}
	return Jump, target // of LOG and its like there is no chain, so the packet goes on
}

// legacyTest is what an option asks of a packet, or nil when that is not known.
func legacyTest(option, value string) func(*Packet) bool {
	switch option {
	case "-i":
		return func(p *Packet) bool { return hasPrefix(p.In, value) }
	case "-o":
		return func(p *Packet) bool { return hasPrefix(p.Out, value) }
	case "-s", "-d":
		prefix, err := netip.ParsePrefix(value)
		if err != nil {
			return nil
		}
		if option == "-s" {
			return func(p *Packet) bool { return prefix.Contains(p.Src) }
		}
		return func(p *Packet) bool { return prefix.Contains(p.Dst) }
	case "-p":
		proto := map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}[value]
		return func(p *Packet) bool { return p.Proto == proto }
	case "--ctstate", "--state":
		states := strings.Split(value, ",")
		return func(p *Packet) bool {
			return p.Answer && slices.Contains(states, "ESTABLISHED") || !p.Answer && slices.Contains(states, "NEW") ||
				p.DNAT && slices.Contains(states, "DNAT")
		}
	case "--sport", "--dport", "--sports", "--dports":
		return func(p *Packet) bool {
			port := p.DstPort
			if strings.HasPrefix(option, "--s") {
				port = p.SrcPort
			}
			return inPorts(value, port)
		}
	case "--dst-type", "--src-type":
		types := strings.Split(value, ",")
		return func(p *Packet) bool {
			local := p.addrType(option == "--src-type") == unix.RTN_LOCAL
			return local && slices.Contains(types, "LOCAL") || !local && slices.Contains(types, "UNICAST")
		}
	}
	return nil
}

func inPorts(list string, port uint16) bool {
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, ":")
		if !isRange {
			to = from
		}
		lo, errLo := strconv.ParseUint(from, 10, 16)
		hi, errHi := strconv.ParseUint(to, 10, 16)
		if errLo == nil && errHi == nil && uint64(port) >= lo && uint64(port) <= hi {
			return true
		}
	}
	return false
}

// applyLegacy makes a change with the tool, the last first, so that numbers stay true.
func applyLegacy(ch Change, links []string, mark string) error {
	tool := legacyTool()
	run := func(args ...string) error {
		if _, err := exec.Command(tool, append([]string{"-w", "-t", "filter"}, args...)...).Output(); err != nil {
			return fmt.Errorf("%s %s: %w", tool, strings.Join(args, " "), withStderr(err))
		}
		return nil
	}
	at := ch.Before + 1
	for _, number := range slices.Backward(ch.Remove) {
		if err := run("-D", ch.Chain.Name, strconv.FormatUint(number, 10)); err != nil {
			return err
		}
		if int(number) <= ch.Before {
			at--
		}
	}
	if !ch.Insert {
		return nil
	}
	for _, l := range links {
		for _, option := range []string{"-i", "-o"} {
			if option == "-i" && ch.Chain.Hook == Output || option == "-o" && ch.Chain.Hook == Input {
				continue
			}
			err := run("-I", ch.Chain.Name, strconv.Itoa(at), option, l+"+", "-m", "comment", "--comment", mark, "-j", "ACCEPT")
			if err != nil {
				return err
			}
			at++
		}
	}
	return nil
}
