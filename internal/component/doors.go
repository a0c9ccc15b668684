package component

import (
	"log/slog"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/remote"

	"k8s.io/client-go/rest"
)

// Doors are the clients of a component's controllers: all act as the component itself, or, with ownAccounts, each as its service
// account in kube-system.
func Doors(rc *rest.Config, own client.Interface, ownAccounts bool, log *slog.Logger) (client.Factory, error) {
	plain, err := remote.Factory(rc)
	if err != nil || !ownAccounts {
		return plain, err
	}
	accounts, err := remote.Accounts(rc, own, log)
	if err != nil {
		return nil, err
	}
	return func(u api.User, agent string) client.Interface {
		if account, ok := strings.CutPrefix(u.Name, "system:serviceaccount:kube-system:"); ok {
			return accounts("kube-system", account, agent)
		}
		return plain(u, agent)
	}, nil
}
