#!/bin/bash
# run.sh SAMPAN KUBE_SCHEDULER PORT [FLAGS OF schedule…]: an API server of sampan, the stock scheduler and ours, each under a name of its own.
set -eu
sampan=$(realpath "$1") stock=$(realpath "$2") port=$3
shift 3
dir=$(mktemp -d /var/tmp/schedule-XXXXXX)
jobs=()
trap 'kill "${jobs[@]}" 2>/dev/null || true; wait; [ -n "${KEEP:-}" ] || rm -rf "$dir"' EXIT
head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$dir/token"
echo "$(cat "$dir/token"),admin,1,system:masters" > "$dir/tokens.csv"
ln -s "$sampan" "$dir/etcd"
"$dir/etcd" --data-dir "$dir/store" --listen-client-urls "http://127.0.0.1:$((port + 1))" --advertise-client-urls "http://127.0.0.1:$((port + 1))" \
  --listen-peer-urls "http://127.0.0.1:$((port + 2))" > "$dir/etcd.log" 2>&1 & jobs+=($!)
openssl genrsa -out "$dir/sa.key" 2048 2> /dev/null
"$sampan" kube-apiserver --etcd-servers "http://127.0.0.1:$((port + 1))" --bind-address 127.0.0.1 --secure-port "$port" --cert-dir "$dir/certs" --token-auth-file "$dir/tokens.csv" \
  --service-account-key-file "$dir/sa.key" --service-account-signing-key-file "$dir/sa.key" --service-account-issuer https://kubernetes.default.svc \
  --authorization-mode RBAC > "$dir/apiserver.log" 2>&1 & jobs+=($!)
cat > "$dir/kubeconfig" <<END
{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
 clusters: [{name: c, cluster: {server: "https://127.0.0.1:$port", insecure-skip-tls-verify: true}}], users: [{name: u, user: {token: "$(cat "$dir/token")"}}]}
END
for i in $(seq 300); do curl -sk -o /dev/null -f -H "Authorization: Bearer $(cat "$dir/token")" "https://127.0.0.1:$port/readyz" && break; sleep 0.2; done
for name in stock ours; do
  cat > "$dir/$name.yaml" <<END
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
clientConnection: {kubeconfig: $dir/kubeconfig, qps: 1000, burst: 1000}
profiles: [{schedulerName: $name}]
END
done
"$stock" --config "$dir/stock.yaml" --bind-address 127.0.0.1 --secure-port $((port + 3)) --authentication-skip-lookup > "$dir/stock.log" 2>&1 & jobs+=($!)
"$sampan" kube-scheduler --config "$dir/ours.yaml" --bind-address 127.0.0.1 --secure-port $((port + 4)) > "$dir/ours.log" 2>&1 & jobs+=($!)
sleep 3
cd "$(dirname "$0")/../../.."
${SCHEDULE:-go run ./e2e/differential/schedule} --server "$dir/kubeconfig" "$@" || { rc=$?; tail -n 5 "$dir"/*.log; exit $rc; }
