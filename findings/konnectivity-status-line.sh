#!/bin/bash
# sigs.k8s.io/apiserver-network-proxy v0.34.0 (Konnectivity): when an agent cannot connect to what a CONNECT asks for, the server's answer
# begins with "HTTP/0.1 502 Bad Gateway", a version of HTTP that there is not, while its answer to a CONNECT that succeeds, and the one
# for want of an agent, begin with "HTTP/1.1". A client may read no status in it: curl 7.88.1 of Debian 12 reads 0. The guess was that
# one server answers in one version, and that what http.Response.Write writes is HTTP: it writes the field ProtoMajor, which the server
# leaves out, as it is. Uses curl.
set -eu
dir=$(mktemp -d); trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT; cd "$dir"
cat > go.mod <<'M'
module finding
go 1.26
require sigs.k8s.io/apiserver-network-proxy v0.34.0
M
cat > main.go <<'M'
package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/klog/v2"
	"sigs.k8s.io/apiserver-network-proxy/pkg/agent"
	"sigs.k8s.io/apiserver-network-proxy/pkg/server"
	"sigs.k8s.io/apiserver-network-proxy/pkg/server/proxystrategies"
	wire "sigs.k8s.io/apiserver-network-proxy/proto/agent"
)

func main() {
	klog.SetLogger(klog.Logger{})
	any := []proxystrategies.ProxyStrategy{proxystrategies.ProxyStrategyDefault}
	proxy := server.NewProxyServer("s", any, 1, &server.AgentTokenAuthenticationOptions{}, 10)
	front := httptest.NewServer(&server.Tunnel{Server: proxy})
	target := httptest.NewServer(http.NotFoundHandler())
	open, closed := target.Listener.Addr().String(), httptest.NewServer(nil)
	closed.Close()
	fmt.Println("no agent:", ask(front, open))

	forAgents := listen()
	g := grpc.NewServer()
	wire.RegisterAgentServiceServer(g, proxy)
	go g.Serve(forAgents)
	agents := (&agent.ClientSetConfig{
		Address: forAgents.Addr().String(), AgentID: "a", XfrChannelSize: 10,
		SyncInterval: time.Second, SyncIntervalCap: time.Second, ProbeInterval: time.Second,
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	}).NewAgentClientSet(nil, make(chan struct{}))
	agents.SetServerCounter(agent.NewResponseBasedCounter(agents))
	agents.Serve()
	for proxy.BackendManagers[0].NumBackends() == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("somebody listens:", ask(front, open))
	fmt.Println("nobody listens:", ask(front, closed.Listener.Addr().String()))
}

func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return l
}

// ask returns the first line of the answer to a CONNECT, and the status that curl reads in such an answer.
func ask(front *httptest.Server, address string) string {
	c, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		panic(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", address, address)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		panic(err)
	}
	curl := exec.Command("curl", "-s", "-o", "/dev/null", "-m", "20", "-p", "-x", front.URL, "-w", "%{http_connect}", "http://"+address)
	status, _ := curl.Output()
	return strings.TrimSpace(line) + ", curl " + string(status)
}
M
export GOFLAGS=-mod=mod CGO_ENABLED=0
go mod tidy >/dev/null 2>&1
got=$(go list -m sigs.k8s.io/apiserver-network-proxy; go run .)
echo "$got"
want='sigs.k8s.io/apiserver-network-proxy v0.34.0
no agent: HTTP/1.1 500 Internal Server Error, curl 500
somebody listens: HTTP/1.1 200 Connection Established, curl 200
nobody listens: HTTP/0.1 502 Bad Gateway, curl 000'
[ "$got" = "$want" ] || { echo "changed; it was:"; echo "$want"; exit 1; }
