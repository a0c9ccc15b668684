package memlimit

import (
	"fmt"
	"strings"
	"testing"
)

func TestConstant(t *testing.T) {
	const maps = `00400000-0280b000 r-xp 00000000 08:01 1 /x/sampan
0280b000-05a5f000 r--p 0240b000 08:01 1 /x/sampan
05a5f000-05b50000 rw-p 0565f000 08:01 1 /x/sampan
05b50000-05be5000 rw-p 00000000 00:00 0
7f00-7f01 r-xp 00000000 08:01 2 /x/other
zz-7f01 r-xp 00000000 08:01 1 /x/sampan
7fff1000-7fff3000 r-xp 00000000 00:00 0 [vdso]
`
	if got := fmt.Sprintf("%x", constant(strings.NewReader(maps), "/x/sampan")); got != "[{400000 280b000} {280b000 5a5f000}]" {
		t.Error(got)
	}
}

// The program goes on with what it has.
func TestLetGoOfProgram(t *testing.T) {
	before := strings.Repeat("constant", 3)
	LetGoOfProgram()
	if before != "constantconstantconstant" {
		t.Error(before)
	}
}
