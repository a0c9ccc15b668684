// Package nft is the vocabulary of our packet filter rules: expressions by name, and batches that the kernel takes whole
// or not at all. It speaks netlink; no nft binary is needed.
//
// It owns no data and runs no goroutines. internal/node/network and internal/node/proxy/nft may import it.
package nft
