// Package firewall lives beside the packet filters of others: Docker's chains, ufw, firewalld, an administrator's own. An
// accepting rule in a table of ours cannot override another table's drop, so where a foreign base chain would drop what pods
// send or receive, rules that accept it go into that chain, just before what drops, marked by a comment, and only there: a
// machine without such a chain gets none, and what an administrator drops by name stays dropped.
//
// What a chain would do is found out by walking sample packets through a copy of its rules (see [Packet]), which needs no
// traffic. An expression that is not known here decides nothing, so that a guess never becomes an alarm or a hole.
//
// It owns no data and runs no goroutines; internal/node/network calls it when others have changed something. Rules of
// iptables-nft and nft are read and written over netlink, those of the legacy iptables with its own tool.
package firewall
