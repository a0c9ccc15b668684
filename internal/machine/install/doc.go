// Package install puts sampan and what belongs beside it into the places of a machine, with a unit for systemd, and takes it away again:
// exactly what it put there, which it writes down first.
//
// What is put where is a value ([Plan.Files]); [Plan.Install] and [Plan.Remove] carry it out. It owns the list of installed files.
// cmd/sampan imports it.
package install
