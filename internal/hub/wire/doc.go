// Package wire turns answers into bytes and bodies into objects: content negotiation, JSON, YAML, protobuf, Table,
// PartialObjectMetadata, lists that are concatenated from cached encodings, watch frames, gzip, Status errors.
//
// It owns no data and runs no goroutines. The hub alone imports it.
package wire
