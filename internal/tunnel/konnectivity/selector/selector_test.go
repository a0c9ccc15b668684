package selector

import (
	"strings"
	"testing"
)

const head = "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n"

func TestMistakesAreTold(t *testing.T) {
	one := func(name, connection string) string {
		return head + "- name: " + name + "\n  connection: " + connection + "\n"
	}
	for _, c := range []struct{ in, want string }{
		{one("cluster", `{proxyProtocol: GRPC, transport: {uds: {udsName: /run/x}}}`), ""},
		{one("Cluster", `{proxyProtocol: HTTPConnect, transport: {uds: {udsName: /run/x}}}`), ""},
		{one("controlplane", `{proxyProtocol: HTTPConnect, transport: {tcp: {url: "http://127.0.0.1:8131"}}}`), ""},
		{one("etcd", `{proxyProtocol: Direct}`), ""},
		{one("etcd", `{proxyProtocol: Direct, transport: {}}`), `service.connection.transport: Invalid value: "direct": config must be absent for direct connect`},
		{one("nodes", `{proxyProtocol: Direct}`), `service.connection: Unsupported value: "nodes": supported values: "cluster", "controlplane", "etcd"`},
		{one("cluster", `{proxyProtocol: Direct}`) + "- name: CLUSTER\n  connection: {proxyProtocol: Direct}\n", `service.connection[1]: Duplicate value: "cluster"`},
		{one("cluster", `{}`), `service.connection.protocol: Unsupported value: "": supported values: "Direct", "HTTPConnect", "GRPC"`},
		{one("cluster", `{proxyProtocol: GRPC}`), `service.connection.transport: Required value: transport must be set for GRPC`},
		{one("cluster", `{proxyProtocol: GRPC, transport: {tcp: {url: "https://x:1"}}}`), `service.connection.uds: Required value: UDS must be set with GRPC`},
		{one("cluster", `{proxyProtocol: GRPC, transport: {uds: {udsName: ""}}}`), `service.connection.udsName: Invalid value: "nil": must be present for UDS connections`},
		{one("cluster", `{proxyProtocol: HTTPConnect, transport: {}}`), `service.connection.tcp: Required value: One of TCP or UDS must be set`},
		{one("cluster", `{proxyProtocol: HTTPConnect, transport: {tcp: {url: "ftp://x"}}}`), `service.connection.url: Invalid value: "ftp://x": supported connection protocols are http:// and https://`},
		{one("cluster", `{proxyProtocol: HTTPConnect, transport: {tcp: {url: "https://x:1"}}}`), `service.connection.tlsConfig: Required value: TLSConfig must be present when using HTTPS`},
		{one("cluster", `{proxyProtocol: HTTPConnect, transport: {tcp: {url: "http://x:1", tlsConfig: {}}}}`), `config must not be present when using HTTP`},
		{one("cluster", `{proxyProtocol: HTTPConnect, transport: {tcp: {url: "https://x:1", tlsConfig: {caBundle: /nonesuch}}}}`), `service.connection.tlsConfig.caBundle: Invalid value: "/nonesuch": TLS config ca bundle does not exist`},
		{one("cluster", `{proxyProtocol: HTTPConnect, transport: {tcp: {url: "https://x:1", tlsConfig: {clientCert: /nonesuch}}}}`), `Using TLS requires requires clientKey`},
		{one("cluster", `{proxyProtocol: Direct, nonesuch: 1}`), `unknown field "egressSelections[0].connection.nonesuch"`},
		{strings.Replace(head, "v1beta1", "v1", 1), `"apiserver.k8s.io/v1"`},
		{"nonsense: [", "yaml"},
	} {
		_, err := parse([]byte(c.in))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.in, err, c.want)
		}
	}
	if _, err := Read("/nonesuch"); err == nil || !strings.Contains(err.Error(), `unable to read egress selector configuration from "/nonesuch"`) {
		t.Error(err)
	}
}
