//go:build !race

package cache

import "sampan.dev/internal/api"

// seal is nothing outside race builds; see frozen_race.go.
type seal struct{}

func (*seal) close(api.Object)         {}
func (*seal) check(*Entry, api.Object) {}
