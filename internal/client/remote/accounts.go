package remote

import (
	"fmt"
	"log/slog"

	"sampan.dev/internal/client"

	"k8s.io/client-go/rest"
)

// Accounts returns doors that speak as service accounts, as upstream's controllers do with --use-service-account-credentials.
// own is the door of cfg's identity, which asks for the tokens and makes an account that does not exist yet.
func Accounts(cfg *rest.Config, own client.Interface, log *slog.Logger) (func(namespace, name, userAgent string) client.Interface, error) {
	bare, err := rest.TransportFor(rest.AnonymousClientConfig(cfg))
	if err != nil {
		return nil, err
	}
	with, err := rest.TransportFor(cfg)
	if err != nil {
		return nil, err
	}
	return func(namespace, name, userAgent string) client.Interface {
		account := &Account{Namespace: namespace, Name: name, Make: true, Door: own, Bare: bare, Own: with, Log: log}
		d, err := New(&rest.Config{Host: cfg.Host, UserAgent: userAgent, Transport: account})
		if err != nil {
			panic(fmt.Sprintf("remote: a configuration that was good is bad with user agent %q: %v", userAgent, err))
		}
		return d
	}, nil
}
