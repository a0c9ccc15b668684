#!/bin/bash
# perf.sh SAMPAN KUBE_SCHEDULER PORT [FLAGS OF perf…]: an API server of sampan without controllers, and at it first the stock scheduler, then ours,
# each with the cases for itself. PERF may name the built command, STORE a directory for the store (the default is on the disk).
set -eu
sampan=$(realpath "$1") stock=$(realpath "$2") port=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d /var/tmp/perf-XXXXXX)
jobs=()
trap 'kill "${jobs[@]}" 2>/dev/null || true; wait; [ -n "${KEEP:-}" ] || rm -rf "$dir"' EXIT
token=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
echo "$token,admin,1,system:masters" > "$dir/tokens.csv"
ln -s "$sampan" "$dir/etcd"
"$dir/etcd" --data-dir "${STORE:-$dir}/store" --listen-client-urls "http://127.0.0.1:$((port + 1))" --advertise-client-urls "http://127.0.0.1:$((port + 1))" \
  --listen-peer-urls "http://127.0.0.1:$((port + 2))" > "$dir/etcd.log" 2>&1 & jobs+=($!)
openssl genrsa -out "$dir/sa.key" 2048 2> /dev/null
"$sampan" kube-apiserver --etcd-servers "http://127.0.0.1:$((port + 1))" --bind-address 127.0.0.1 --secure-port "$port" --cert-dir "$dir/certs" --token-auth-file "$dir/tokens.csv" \
  --service-account-key-file "$dir/sa.key" --service-account-signing-key-file "$dir/sa.key" --service-account-issuer https://kubernetes.default.svc \
  --authorization-mode RBAC --disable-admission-plugins ServiceAccount,TaintNodesByCondition,Priority,StorageObjectInUseProtection > "$dir/apiserver.log" 2>&1 & jobs+=($!)
cat > "$dir/kubeconfig" <<END
{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
 clusters: [{name: c, cluster: {server: "https://127.0.0.1:$port", insecure-skip-tls-verify: true}}], users: [{name: u, user: {token: "$token"}}]}
END
for i in $(seq 300); do curl -sk -o /dev/null -f -H "Authorization: Bearer $token" "https://127.0.0.1:$port/readyz" && break; sleep 0.2; done
for name in ${NAMES:-stock ours}; do
  cat > "$dir/$name.yaml" <<END
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
clientConnection: {kubeconfig: $dir/kubeconfig, qps: 5000, burst: 5000, contentType: application/vnd.kubernetes.protobuf}
profiles: [{schedulerName: $name}]
END
  if [ "$name" = stock ]; then
    "$stock" --config "$dir/$name.yaml" --bind-address 127.0.0.1 --secure-port $((port + 3)) --authentication-skip-lookup > "$dir/$name.log" 2>&1 &
  else
    "$sampan" kube-scheduler --config "$dir/$name.yaml" --bind-address 127.0.0.1 --secure-port $((port + 3)) > "$dir/$name.log" 2>&1 &
  fi
  pid=$!
  jobs+=($pid)
  sleep 3
  (cd "$here/../../../.." && ${PERF:-go run ./e2e/differential/schedule/perf} --server "$dir/kubeconfig" --scheduler "$name" --pid $pid "$@") || tail -n 5 "$dir/$name.log" >&2
  kill $pid
  wait $pid || true
done
