package podspec

import (
	"strings"
	"testing"
)

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 1.1.1.1\nsearch a b\noptions ndots:5\n")
	f.Add("#")
	f.Add("nameserver")
	f.Fuzz(func(t *testing.T, in string) {
		if ParseResolvConf(strings.NewReader(in)) == nil {
			t.Error("nothing")
		}
	})
}
