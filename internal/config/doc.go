// Package config holds what a person can say about a cluster: one plain struct with useful zero values, filled from
// flags, checked by Validate, and turned into the paths and names that everything on a machine derives from.
//
// internal/component/suite fills it and joins it to the configurations of the programs.
package config
