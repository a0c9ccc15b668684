// Package migration is the storage-version-migrator-controller: it has all objects of a resource written once more, so that each is
// stored in the version, and under the key of encryption, that new ones are. What is stored so already the hub leaves as it is.
//
// Of one resource one StorageVersionMigration runs at a time, the oldest first. Each look takes one step: mark it as running (and its
// CustomResourceDefinition, if it is of one), note the resource's revision, write what is not newer, say how it ended. Rules and words
// are upstream's (pkg/controller/storageversionmigrator). state.go is pure. It owns its queue; only internal/control imports it.
package migration
