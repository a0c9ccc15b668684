// Package zaplog has etcd log into our logger.
package zaplog
