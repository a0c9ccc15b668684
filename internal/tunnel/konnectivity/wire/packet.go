package wire

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Kind is what a packet says. The numbers are the protocol's.
type Kind int32

const (
	DialRequest   Kind = 0  // dialling end: connect to Address; Random names the request
	DialResponse  Kind = 1  // the answer to Random: Conn, or Error
	CloseRequest  Kind = 2  // dialling end: Conn is over
	CloseResponse Kind = 3  // dialled end: Conn is over, unasked too
	Data          Kind = 4  // Bytes of Conn
	DialClose     Kind = 5  // the request Random is given up
	Drain         Kind = 6  // an agent ends soon: others are to be preferred
	Window        Kind = 64 // ours: the reader of Conn takes Credit further bytes
)

// Packet is one message of either service. Only the fields of its kind are set.
type Packet struct {
	Kind              Kind
	Protocol, Address string
	Random, Conn      int64
	Error             string
	Credit            int64

	// Bytes is what a Data packet carries. Whoever receives one frees it; sending one hands it over.
	Bytes mem.Buffer
}

// payload is the number of the field that holds the fields of a kind, and their numbers in it; 0 is none.
type payload struct {
	field                                                    protowire.Number
	protocol, address, random, conn, failed, content, credit protowire.Number
}

// payloads are the protocol's messages. A packet of a kind that is not here is read as its kind alone.
var payloads = map[Kind]payload{
	DialRequest:   {field: 2, protocol: 1, address: 2, random: 3},
	DialResponse:  {field: 3, failed: 1, conn: 2, random: 3},
	Data:          {field: 4, conn: 1, failed: 2, content: 3},
	CloseRequest:  {field: 5, conn: 1},
	CloseResponse: {field: 6, failed: 1, conn: 2},
	DialClose:     {field: 7, random: 1},
	Drain:         {field: 8},
	Window:        {field: 64, conn: 1, credit: 2},
}

var errMalformed = errors.New("malformed packet")

// encode returns the bytes of a packet; those of Bytes follow them on the wire.
func (p *Packet) encode() ([]byte, error) {
	fields, ok := payloads[p.Kind]
	if !ok {
		return nil, fmt.Errorf("no packet of kind %d", p.Kind)
	}
	var in []byte
	number := func(n protowire.Number, v int64) {
		if n != 0 && v != 0 {
			in = protowire.AppendVarint(protowire.AppendTag(in, n, protowire.VarintType), uint64(v))
		}
	}
	text := func(n protowire.Number, s string) {
		if n != 0 && s != "" {
			in = protowire.AppendString(protowire.AppendTag(in, n, protowire.BytesType), s)
		}
	}
	text(fields.protocol, p.Protocol)
	text(fields.address, p.Address)
	number(fields.random, p.Random)
	number(fields.conn, p.Conn)
	text(fields.failed, p.Error)
	number(fields.credit, p.Credit)
	length := len(in)
	if fields.content != 0 && p.Bytes != nil && p.Bytes.Len() > 0 {
		in = protowire.AppendTag(in, fields.content, protowire.BytesType)
		in = protowire.AppendVarint(in, uint64(p.Bytes.Len()))
		length = len(in) + p.Bytes.Len()
	}
	var out []byte
	if p.Kind != 0 {
		out = protowire.AppendVarint(protowire.AppendTag(out, 1, protowire.VarintType), uint64(p.Kind))
	}
	out = protowire.AppendVarint(protowire.AppendTag(out, fields.field, protowire.BytesType), uint64(length))
	return append(out, in...), nil
}

// decode reads a packet from data, of which it keeps what Bytes is.
func (p *Packet) decode(data mem.Buffer) error {
	*p = Packet{}
	all := data.ReadOnlyData()
	var kind uint64
	if err := each(all, func(n protowire.Number, v uint64, _ []byte, _ int) error {
		if n == 1 {
			kind = v
		}
		return nil
	}); err != nil {
		return err
	}
	p.Kind = Kind(int32(kind))
	fields, known := payloads[p.Kind]
	if !known {
		return nil
	}
	from, to := 0, 0
	if err := each(all, func(n protowire.Number, _ uint64, in []byte, at int) error {
		if n != fields.field {
			return nil
		}
		return each(in, func(n protowire.Number, v uint64, b []byte, within int) error {
			switch n {
			case fields.protocol:
				p.Protocol = string(b)
			case fields.address:
				p.Address = string(b)
			case fields.random:
				p.Random = int64(v)
			case fields.conn:
				p.Conn = int64(v)
			case fields.failed:
				p.Error = string(b)
			case fields.credit:
				p.Credit = int64(v)
			case fields.content:
				from, to = at+within, at+within+len(b)
			}
			return nil
		})
	}); err != nil {
		return err
	}
	if to > from {
		p.Bytes = data.Slice(from, to)
	}
	return nil
}

// each calls f with every field of a message: a number, or bytes and where they begin.
func each(b []byte, f func(n protowire.Number, v uint64, in []byte, at int) error) error {
	for at := 0; at < len(b); {
		n, t, size := protowire.ConsumeTag(b[at:])
		if size < 0 {
			return errMalformed
		}
		at += size
		var v uint64
		var in []byte
		begin := at
		switch t {
		case protowire.VarintType:
			v, size = protowire.ConsumeVarint(b[at:])
		case protowire.BytesType:
			in, size = protowire.ConsumeBytes(b[at:])
			begin = at + size - len(in)
		default:
			size = protowire.ConsumeFieldValue(n, t, b[at:])
		}
		if size < 0 {
			return errMalformed
		}
		at += size
		if err := f(n, v, in, begin); err != nil {
			return err
		}
	}
	return nil
}
