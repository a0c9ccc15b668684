#!/bin/bash
# iptables 1.8.9 (nf_tables) and nftables 1.0.6, Debian 12: a comment that nft put on a rule of an iptables-nft table is shown by
# iptables-save as a match (-m comment), and iptables-restore of that text makes it a match of the xtables kind, which nft then does
# not list at all: the rule is there, its comment is gone from nft's view. A program that marks its rules by nft comments and
# looks for them by nft loses them when somebody saves and restores with iptables. The guess was that iptables drops what only nft
# knows, or that what it keeps stays what it was. Needs root, nftables and iptables; works in a network namespace of its own.
set -eu
got=$(unshare -n sh -eu <<'N'
nft add table ip filter
nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'
nft 'add rule ip filter FORWARD iifname "eth9" counter accept comment "mark"'
rules() { nft list chain ip filter FORWARD 2>/dev/null | grep -c "$1" || true; }
echo "nft, rules of eth9 and with a comment: $(rules eth9) $(rules mark)"
text=$(iptables-nft-save)
echo "$text" | grep eth9
echo "$text" | iptables-nft-restore
echo "after save and restore: $(rules eth9) $(rules mark)"
N
)
echo "$got"
want='nft, rules of eth9 and with a comment: 1 1
-A FORWARD -i eth9 -m comment --comment mark -j ACCEPT
after save and restore: 1 0'
[ "$got" = "$want" ] || { echo "changed; it was:"; echo "$want"; exit 1; }
