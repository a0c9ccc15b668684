package users

import (
	"errors"
	"fmt"
	"math"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
)

// Unit is the number of IDs that a pod's users have at least, and by default.
const Unit = 65536

// account is the name of the account whose subordinate IDs pods may have.
const account = "kubelet"

// Range says which IDs of the host pods may have: Length IDs from First on, PerPod of them for each.
type Range struct{ First, Length, PerPod uint32 }

// Find returns the IDs that pods may have on this machine: those that are subordinate to the account "kubelet", where there is such an
// account and the program getsubids, and else all but the first perPod. It refuses what upstream's kubelet refuses.
func Find(perPod, maxPods int64) (Range, error) {
	r := Range{First: uint32(perPod), Length: uint32(math.MaxUint32 + 1 - perPod), PerPod: uint32(perPod)}
	if err := CheckPerPod(perPod); err != nil {
		return r, err
	}
	first, length, err := subordinate()
	if err != nil {
		return r, fmt.Errorf("kubelet mappings: %w", err)
	}
	if length != 0 {
		r.First, r.Length = first, length
	}
	return r, r.check(maxPods)
}

// CheckPerPod checks how many IDs a pod is to have.
func CheckPerPod(n int64) error {
	switch {
	case n < Unit:
		return fmt.Errorf("invalid configuration: userNamespaces.idsPerPod must not be less than %d", Unit)
	case n%Unit != 0:
		return fmt.Errorf("invalid configuration: userNamespaces.idsPerPod must be a multiple of %d", Unit)
	case n > math.MaxUint32:
		return fmt.Errorf("invalid configuration: userNamespaces.idsPerPod must not be more than %d", int64(math.MaxUint32))
	}
	return nil
}

func (r Range) check(maxPods int64) error {
	switch {
	case r.First%r.PerPod != 0:
		return fmt.Errorf("kubelet user assigned ID %v is not a multiple of %v", r.First, r.PerPod)
	case r.First < r.PerPod: // with 0 in it, the root of a pod could be that of the host
		return fmt.Errorf("kubelet user assigned ID %v must be greater or equal to %v", r.First, r.PerPod)
	case r.Length%r.PerPod != 0:
		return fmt.Errorf("kubelet user assigned IDs length %v is not a multiple of %v", r.Length, r.PerPod)
	case int64(r.Length/r.PerPod) < maxPods:
		return fmt.Errorf("kubelet user assigned IDs are not enough to support %v pods", maxPods)
	}
	return nil
}

// subordinate asks for the IDs that are subordinate to the account; a length of 0 says that the machine has not been set up so.
func subordinate() (first, length uint32, err error) {
	if _, err := user.Lookup(account); err != nil {
		var unknown user.UnknownUserError
		if errors.As(err, &unknown) {
			return 0, 0, nil
		}
		return 0, 0, err
	}
	program, err := exec.LookPath("getsubids")
	if errors.Is(err, exec.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	uids, err := exec.Command(program, account).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("error retrieving additional uids for user %q: %w", account, err)
	}
	gids, err := exec.Command(program, "-g", account).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("error retrieving additional gids for user %q: %w", account, err)
	}
	if string(uids) != string(gids) {
		return 0, 0, fmt.Errorf("mismatched subuids and subgids for user %q", account)
	}
	return parse(string(uids))
}

// parse reads what getsubids prints: "0: kubelet 65536 7208960".
func parse(text string) (first, length uint32, err error) {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	if len(lines) != 1 {
		return 0, 0, fmt.Errorf("error parsing line %q: it must contain only one line", text)
	}
	parts := strings.Fields(lines[0])
	if len(parts) != 4 {
		return 0, 0, fmt.Errorf("invalid line %q", text)
	}
	var numbers [2]uint32
	for i, part := range parts[2:] {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return 0, 0, fmt.Errorf("error parsing line %q: %w", text, err)
		}
		numbers[i] = uint32(n)
	}
	return numbers[0], numbers[1], nil
}
