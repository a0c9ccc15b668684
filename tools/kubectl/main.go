// Command kubectl is upstream's kubectl, built from its module so that a newcomer needs nothing but Go.
//
// It is a program of its own because linking it into sampan would triple that binary (docs/dependencies.md).
package main

import (
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"

	_ "k8s.io/client-go/plugin/pkg/client/auth" // exec and OIDC credentials, as the stock binary has them
)

func main() {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
