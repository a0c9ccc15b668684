package selector

import "testing"

func FuzzConfiguration(f *testing.F) {
	f.Add([]byte("apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections: [{name: cluster, connection: {proxyProtocol: GRPC, transport: {uds: {udsName: /a}}}}]\n"))
	f.Add([]byte("{"))
	f.Fuzz(func(_ *testing.T, in []byte) {
		_, _ = parse(in)
	})
}
