// Package settings fills the flags of a command that were not given: from the environment (SAMPAN_DATA_DIR is --data-dir), from the
// drop-ins of the configuration file, and from that file, in this order; and finds the data directory that a name means.
//
// A file holds flags by their names, nothing else. What it holds that is no flag is an error with file, line and the name that was
// probably meant. The package owns no data. cmd/sampan imports it.
package settings
