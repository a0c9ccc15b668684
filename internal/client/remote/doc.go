// Package remote is the door to a hub in another process: client.Interface over HTTPS, in protobuf where the hub speaks
// it. It uses client-go's rest package for transport, credentials, retries and errors, and apimachinery's codecs.
//
// It owns connections, which doors made from the same configuration share, and runs one goroutine per watch.
package remote
