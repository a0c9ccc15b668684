// Package apply turns an object and a patch into a new object (JSON patch, JSON merge patch, strategic merge patch,
// server-side apply), and keeps metadata.managedFields true on every write.
//
// It owns the schema of all types in the form that server-side apply compares them by, built once when first needed. It
// runs no goroutines. The hub's verbs alone import it.
package apply
