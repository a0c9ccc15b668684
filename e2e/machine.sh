#!/bin/bash
# Prints what a cluster could leave behind on a machine: mounts, links, addresses, routes, rules, namespaces, nft tables,
# cgroups, processes, directories. Two prints taken before `up` and after `purge` must be equal.
#
#   machine.sh              everything
#   machine.sh DATA-DIR     without what carries the name of a cluster in another data directory, so that clusters of
#                           others may come and go meanwhile
data=${1:-}
ids=none metrics=none dirs=none
if [ -n "$data" ]; then
  for dir in "$data" "$data"/nodes/{2,3,4,5}; do
    id=$(printf %s "$dir" | sha256sum | cut -c1-8)
    crc=$(printf %s "$id" | gzip -c | tail -c8 | head -c4 | od -An -tu4)
    ids+="|$id" dirs+="|/run/sampan-$id/" metrics+="|$(((1 << 20) + (crc >> 12)))" # internal/node/network/names.go
  done
fi

# What a cluster in the default place has, which carries no digits, and what all clusters share (see "shared").
default='\bsmp-|10\.244\.|^table ip6? (kube-proxy|sampan-network)$|/sys/fs/cgroup(/[a-z]+)?/kubepods|^/(var/)?run/sampan$|^/var/lib/(sampan|kubelet)\b|^/var/log/(pods|containers)|^/var/lib/cni$|^/run/containerd$'

# others drops the lines with another cluster's eight digits in the name of a link, a table, a cgroup or a run directory,
# or with its metric in a route.
others() {
  if [ -z "$data" ]; then cat; else
    sed -E "s/((sampan|kube)(-[a-z]+)*-|smp[bn]?)($ids)/\1@\4/g; s/proto 115(.*) metric ($metrics)/proto @115\1 metric \2/" |
      grep -vE '((sampan|kube)(-[a-z]+)*-|\bsmp[bn]?)[0-9a-f]{8}|proto 115' | grep -vE "$default" | sed -E 's/(-|smp[bn]?|proto )@/\1/g'
  fi
}

# mounts drops what test runs and clusters of others mount in their own directories.
mounts() {
  if [ -z "$data" ]; then cat; else grep -vE "^/(tmp|var/tmp)/" ; awk -v d="$data/" 'index($2, d) == 1 {print $2, $3}' /proc/mounts; fi
}

# processes are those whose command line names the data directory or an instance, or (without a data directory) that look
# like a cluster's, and those in the cgroups of such. Zombies are gone already; whoever should reap them is not ours.
processes() {
  local pid args state
  for p in /proc/[0-9]*; do
    pid=${p#/proc/}
    state=$(awk '/^State:/ {print $2}' "$p/status" 2>/dev/null)
    [ -z "$state" ] || [ "$state" = Z ] || [ "$pid" = $$ ] || [ "$pid" = "$BASHPID" ] && continue
    args=$(tr '\0' ' ' <"$p/cmdline" 2>/dev/null)
    case $args in *machine.sh*|*e2e.test*|'go test'*|'go build'*|grep*|*' purge '*) continue ;; esac
    if [ -n "$data" ]; then
      { printf '%s\n' "$args"; cat "$p/cgroup" 2>/dev/null; } | grep -qE "$data(/|\$| )|sampan-($ids)" && echo "$args"
    else
      { printf '%s\n' "$args" | grep -E '(^|/)(sampan|sampan-monitor|sampan-shim|containerd|containerd-shim-runc-v2|runc|pause)( |$)'; } ||
        { grep -qE 'kubepods|/sampan' "$p/cgroup" 2>/dev/null && echo "$args"; }
    fi
  done
}

echo "# mounts";      awk '{print $2, $3}' /proc/mounts | others | mounts | sort
echo "# links";       ip -o link | awk -F': ' '{sub(/@.*/, "", $2); print $2}' | others | sort
echo "# addresses";   ip -o addr | awk '{print $2, $4}' | others | sort
echo "# routes";      ip route show table all | sed 's/ linkdown//' | others | sort
echo "# rules";       ip rule | sort
echo "# neighbours";  ip neigh show nud permanent | others | sort
echo "# namespaces";  ls /run/netns /var/run/netns 2>/dev/null | grep -v : | others | sort -u
echo "# nft";         nft list tables 2>/dev/null | others | sort
echo "# cgroups";     find /sys/fs/cgroup -type d 2>/dev/null | grep -v /process_api | others | sort
echo "# processes";   processes | sort
echo "# shared";      grep -lrE "$([ -n "$data" ] && echo "($dirs)")" /var/lib/cni /run/containerd 2>/dev/null | sort
echo "# directories"; ls -d /run/sampan* /var/run/sampan* /run/containerd /var/lib/kubelet /var/log/pods /var/log/containers /var/lib/sampan /var/lib/cni /var/lib/containerd /etc/cni /opt/cni 2>/dev/null | others | sort
