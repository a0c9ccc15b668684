package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
)

// The services, both of one method that is a stream of packets in both directions. Agents call the first; the second is called
// by API servers that want to be connected.
const (
	AgentMethod = "/AgentService/Connect"
	ProxyMethod = "/ProxyService/Proxy"
)

// The headers, as gRPC sends them: in lower case.
const (
	ServerID         = "serverid"
	ServerCount      = "servercount"
	AgentID          = "agentid"
	AgentIdentifiers = "agentidentifiers" // as a URL's query: host=, ipv4=, ipv6=, cidr=, default-route=
	Authorization    = "authorization"
	Bearer           = "Bearer "
	// Credit is ours: how many bytes of a connection its sender takes before it sends a Window packet.
	Credit = "sampan-credit"
)

// StreamDesc describes either method.
var StreamDesc = grpc.StreamDesc{StreamName: "Connect", ServerStreams: true, ClientStreams: true}

// Service is what a gRPC server is given for a method ("/AgentService/Connect") that serve carries out.
func Service(method string, serve func(grpc.ServerStream) error) *grpc.ServiceDesc {
	service, name, _ := strings.Cut(method[1:], "/")
	return &grpc.ServiceDesc{ServiceName: service, Streams: []grpc.StreamDesc{{
		StreamName: name, ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, s grpc.ServerStream) error { return serve(s) },
	}}}
}

// Codec is how gRPC reads and writes a *Packet.
type Codec struct{}

var errNoPacket = errors.New("not a packet")

// Name is that of the encoding on the wire.
func (Codec) Name() string { return "proto" }

// Marshal takes over what the packet's Bytes are.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	p, ok := v.(*Packet)
	if !ok {
		return nil, fmt.Errorf("%w: %T", errNoPacket, v)
	}
	head, err := p.encode()
	if err != nil {
		return nil, err
	}
	out := mem.BufferSlice{mem.SliceBuffer(head)}
	if p.Bytes != nil && p.Bytes.Len() > 0 {
		out = append(out, p.Bytes)
	}
	return out, nil
}

// Unmarshal reads a packet. Its Bytes are the caller's to free.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	p, ok := v.(*Packet)
	if !ok {
		return fmt.Errorf("%w: %T", errNoPacket, v)
	}
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	return p.decode(whole)
}

// window is how much gRPC itself lets be under way in a stream and in a connection. It is more than one connection of a link may
// have, and it spares the pings that a window of its own size takes.
const window = 4 << 20

// ClientOptions and ServerOptions have gRPC carry packets.
func ClientOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(Codec{})),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithSharedWriteBuffer(true), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
	}
}

// ServerOptions are those of a server.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(Codec{}),
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window), grpc.SharedWriteBuffer(true),
	}
}

// ReadCredit is what the far end says that it takes of each connection; 0: it does not count.
func ReadCredit(md metadata.MD) int64 {
	for _, v := range md.Get(Credit) {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n > 0 {
			return min(n, 1<<30)
		}
	}
	return 0
}
