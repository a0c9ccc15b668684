// Package nft is the vocabulary of our packet filter rules: expressions by name, and batches that the kernel takes whole
// or not at all, and a watch over what others do to a table. It speaks netlink; no nft binary is needed.
//
// It owns no data and runs no goroutines of its own. internal/node/network and internal/node/proxy/nft may import it.
package nft
