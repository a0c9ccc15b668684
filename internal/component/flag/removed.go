package flag

import (
	"fmt"

	"github.com/spf13/pflag"
)

// removed are flags that are gone from upstream, with what took their place. Scripts still pass them.
var removed = map[string]string{
	"api-servers":           "use --kubeconfig, or --server and --token of 'sampan agent'",
	"insecure-port":         "the API server speaks HTTPS only; 'sampan kubectl' has an administrator's certificate",
	"insecure-bind-address": "the API server speaks HTTPS only; 'sampan kubectl' has an administrator's certificate",
}

// Removed makes the mention of a flag that upstream has removed an error that says what to use.
func Removed(f *pflag.FlagSet) {
	for name, instead := range removed {
		f.Func(name, "", func(string) error { return fmt.Errorf("removed; %s", instead) })
		_ = f.MarkHidden(name)
	}
}
