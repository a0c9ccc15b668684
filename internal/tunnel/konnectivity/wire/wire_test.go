package wire

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"
)

func data(s string) mem.Buffer { return mem.SliceBuffer(s) }

// theirs is a packet as the original has it.
func theirs(p *Packet) *client.Packet {
	var b []byte
	if p.Bytes != nil {
		b = p.Bytes.ReadOnlyData()
	}
	out := &client.Packet{Type: client.PacketType(p.Kind)}
	switch p.Kind {
	case DialRequest:
		out.Payload = &client.Packet_DialRequest{DialRequest: &client.DialRequest{Protocol: p.Protocol, Address: p.Address, Random: p.Random}}
	case DialResponse:
		out.Payload = &client.Packet_DialResponse{DialResponse: &client.DialResponse{Error: p.Error, ConnectID: p.Conn, Random: p.Random}}
	case Data:
		out.Payload = &client.Packet_Data{Data: &client.Data{ConnectID: p.Conn, Error: p.Error, Data: b}}
	case CloseRequest:
		out.Payload = &client.Packet_CloseRequest{CloseRequest: &client.CloseRequest{ConnectID: p.Conn}}
	case CloseResponse:
		out.Payload = &client.Packet_CloseResponse{CloseResponse: &client.CloseResponse{ConnectID: p.Conn, Error: p.Error}}
	case DialClose:
		out.Payload = &client.Packet_CloseDial{CloseDial: &client.CloseDial{Random: p.Random}}
	case Drain:
		out.Payload = &client.Packet_Drain{Drain: &client.Drain{}}
	}
	return out
}

func random(r *rand.Rand) *Packet {
	text := func() string { return string(bytes.Repeat([]byte{'a' + byte(r.IntN(26))}, r.IntN(40))) }
	number := func() int64 { return []int64{0, 1, -1, r.Int64(), 300}[r.IntN(5)] }
	switch p := (&Packet{Kind: Kind(r.IntN(7))}); p.Kind {
	case DialRequest:
		p.Protocol, p.Address, p.Random = text(), text(), number()
		return p
	case DialResponse:
		p.Error, p.Conn, p.Random = text(), number(), number()
		return p
	case Data:
		p.Conn = number()
		if n := r.IntN(70_000); n > 0 {
			b := make([]byte, n)
			b[0], b[n-1] = 1, 2
			p.Bytes = mem.SliceBuffer(b)
		}
		return p
	case CloseRequest:
		p.Conn = number()
		return p
	case CloseResponse:
		p.Conn, p.Error = number(), text()
		return p
	case DialClose:
		p.Random = number()
		return p
	default:
		return p
	}
}

func same(a, b *Packet) bool {
	x, y := *a, *b
	x.Bytes, y.Bytes = nil, nil
	return reflect.DeepEqual(x, y) && bytes.Equal(content(a), content(b))
}

func content(p *Packet) []byte {
	if p.Bytes == nil {
		return nil
	}
	return p.Bytes.ReadOnlyData()
}

// What is written here is what the original's generated code writes, and each reads the other's.
func TestPacketsAreTheOriginals(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		p := random(r)
		parts, err := Codec{}.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		ours := parts.Materialize()
		var read client.Packet
		if err := proto.Unmarshal(ours, &read); err != nil || !proto.Equal(&read, theirs(p)) {
			t.Fatalf("%v: the original reads %v of %+v", err, &read, p)
		}
		wire, err := proto.Marshal(theirs(p))
		if err != nil {
			t.Fatal(err)
		}
		var back Packet
		// In pieces, as frames cut them.
		cut := r.IntN(len(wire) + 1)
		if err := (Codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire[:cut]), mem.SliceBuffer(wire[cut:])}, &back); err != nil || !same(p, &back) {
			t.Fatalf("%v: %+v is read as %+v", err, p, &back)
		}
	}
}

func TestWindowIsReadBack(t *testing.T) {
	p := &Packet{Kind: Window, Conn: 7, Credit: 1 << 20}
	parts, err := Codec{}.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back Packet
	if err := (Codec{}).Unmarshal(parts, &back); err != nil || !same(p, &back) {
		t.Errorf("%v: %+v", err, back)
	}
	// A stock peer sees a kind that it does not know and no payload.
	var read client.Packet
	if err := proto.Unmarshal(parts.Materialize(), &read); err != nil || read.Payload != nil {
		t.Errorf("%v: %v", err, &read)
	}
}

func FuzzPacketsFromOutside(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		parts, _ := Codec{}.Marshal(random(r))
		f.Add(parts.Materialize())
	}
	f.Add([]byte{0x08, 0x04, 0x22, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, in []byte) {
		var p Packet
		err := Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(in)}, &p)
		var q client.Packet
		if proto.Unmarshal(in, &q) == nil && err != nil {
			t.Fatalf("the original reads %v, here it is %v", &q, err)
		}
	})
}
