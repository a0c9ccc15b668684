#!/bin/sh
# A CNI plugin as small as one can be: a veth pair, an address, a route. The folder "dir" of its configuration has a file for each
# address that is taken. Under the name "loopback" it brings up lo, which older runtimes leave to a plugin.
set -eu
conf=$(cat)
field() { printf '%s' "$conf" | tr -d '\n' | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }
ns=$(basename "${CNI_NETNS:-none}")
case "$CNI_COMMAND $(basename "$0")" in
VERSION*)
  echo '{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0"]}' ;;
"ADD loopback")
  ip -n "$ns" link set lo up
  echo '{"cniVersion":"0.3.1","ips":[{"version":"4","address":"127.0.0.1/8"}]}' ;;
ADD*)
  dir=$(field dir) net=$(field net) link=$(field link) n=2
  while ! (set -C; echo "$CNI_CONTAINERID" >"$dir/$n") 2>/dev/null; do n=$((n + 1)); done
  ip link add "$link$n" type veth peer name "$CNI_IFNAME" netns "$ns"
  ip -n "$ns" addr add "$net.$n/24" dev "$CNI_IFNAME"
  ip -n "$ns" link set "$CNI_IFNAME" up
  ip addr add "$net.1/32" dev "$link$n"
  ip link set "$link$n" up
  ip route add "$net.$n/32" dev "$link$n" src "$net.1"
  echo "{\"cniVersion\":\"0.4.0\",\"interfaces\":[{\"name\":\"$CNI_IFNAME\",\"sandbox\":\"$CNI_NETNS\"}],\"ips\":[{\"version\":\"4\",\"interface\":0,\"address\":\"$net.$n/24\"}]}" ;;
"DEL loopback") ;;
DEL*)
  dir=$(field dir) link=$(field link)
  for file in "$dir"/*; do
    [ -f "$file" ] && [ "$(cat "$file")" = "$CNI_CONTAINERID" ] || continue
    ip link del "$link$(basename "$file")" 2>/dev/null || true
    rm -f "$file"
  done ;;
esac
