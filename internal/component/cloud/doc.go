// Package cloud is cloud-controller-manager: the loops of a cloud under upstream's flags, and the list of providers.
//
// cmd/sampan and internal/component/suite import it. It owns no data.
package cloud
