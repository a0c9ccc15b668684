// Package stock makes a cloud of a provider that is written for k8s.io/cloud-provider.
//
// To compile one in is a line in the list of internal/component/cloud:
//
//	{"aws", func(c *Config, _ *slog.Logger) (*cloud.Provider, error) { return stock.Open("aws", c.File, c.Contact.Config) }},
//
// and the import of the provider, which registers itself. Nothing of the binary imports this package otherwise: it brings client-go's typed
// clients with it, ten megabytes. It owns no data; what the provider starts is the provider's.
package stock
