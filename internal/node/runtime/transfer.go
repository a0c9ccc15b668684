package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	goruntime "runtime"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
)

// ImportImage reads an OCI or docker image archive (tar, also compressed) from r into the containerd behind endpoint, in
// the given containerd namespace ("k8s.io" is the CRI's), and unpacks it. Images are named as the archive names them.
//
// It speaks containerd's transfer service directly. The handful of messages that takes are written by hand below rather
// than with containerd's API module, which would bring ttrpc and a second set of generated code into the binary.
func ImportImage(ctx context.Context, endpoint, namespace string, r io.Reader) error {
	conn, ctx, err := dialContainerd(ctx, endpoint, namespace)
	if err != nil {
		return err
	}
	defer conn.Close()
	return transfer(ctx, conn, r, flag(flag(str(nil, 1, "import"), 2, true), 3, true), false)
}

// dialContainerd connects to containerd's own services, in one of its namespaces.
func dialContainerd(ctx context.Context, endpoint, namespace string) (*grpc.ClientConn, context.Context, error) {
	conn, err := dialUnix(endpoint)
	return conn, metadata.AppendToOutgoingContext(ctx, "containerd-namespace", namespace), err
}

// transfer sends an archive. Names are taken from its annotations, with prefix (a message ImageReference) where those have
// only a tag; digests says that what has no name is called by its digest.
func transfer(ctx context.Context, conn *grpc.ClientConn, r io.Reader, prefix []byte, digests bool) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	id := make([]byte, 8)
	rand.Read(id)
	stream := "import-" + hex.EncodeToString(id)
	if ctx, err = lease(ctx, conn, stream); err != nil {
		return fmt.Errorf("import image: %s", ErrorText(err))
	}
	defer unlease(ctx, conn, stream)
	sent := make(chan error, 1)
	open := make(chan error, 1)
	go func() { sent <- sendStream(ctx, conn, stream, r, open) }()
	if err := <-open; err != nil {
		<-sent
		return fmt.Errorf("open an import stream: %w", err)
	}
	platform := str(nil, 1, "linux")
	platform = str(platform, 2, goruntime.GOARCH)
	store := msg(nil, 3, platform) // platforms
	if digests {
		prefix = flag(flag(prefix, 4, true), 5, true)
	}
	store = msg(store, 6, prefix)
	store = msg(store, 10, msg(nil, 1, platform)) // unpack
	req := msg(nil, 1, anyOf("containerd.types.transfer.ImageImportStream", str(nil, 1, stream)))
	req = msg(req, 2, anyOf("containerd.types.transfer.ImageStore", store))
	req = msg(req, 3, nil)
	var answer []byte
	err = conn.Invoke(ctx, "/containerd.services.transfer.v1.Transfer/Transfer", &req, &answer, grpc.ForceCodec(rawCodec{}))
	cancel()
	if serr := <-sent; err == nil && serr != nil && !errors.Is(serr, context.Canceled) {
		err = serr
	}
	if err != nil {
		return fmt.Errorf("import image: %s", ErrorText(err))
	}
	return nil
}

// lease keeps containerd's garbage collector, which also runs shortly after its start, from what is under way in the
// returned context: streams and content that nothing refers to yet. It ends by itself after an hour.
func lease(ctx context.Context, conn *grpc.ClientConn, id string) (context.Context, error) {
	expire := str(str(nil, 1, "containerd.io/gc.expire"), 2, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	req, answer := msg(str(nil, 1, id), 3, expire), []byte(nil)
	if err := conn.Invoke(ctx, "/containerd.services.leases.v1.Leases/Create", &req, &answer, grpc.ForceCodec(rawCodec{})); err != nil {
		return ctx, err
	}
	return metadata.AppendToOutgoingContext(ctx, "containerd-lease", id), nil
}

// unlease ends a lease, after ctx too.
func unlease(ctx context.Context, conn *grpc.ClientConn, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	req, answer := str(nil, 1, id), []byte(nil)
	_ = conn.Invoke(ctx, "/containerd.services.leases.v1.Leases/Delete", &req, &answer, grpc.ForceCodec(rawCodec{})) // it expires
}

// sendStream offers r as the named stream: after an init message that is acknowledged, Data messages as far as the
// receiver's window updates allow. open gets the outcome of the beginning.
func sendStream(ctx context.Context, conn *grpc.ClientConn, name string, r io.Reader, open chan<- error) error {
	st, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/containerd.services.streaming.v1.Streaming/Stream", grpc.ForceCodec(rawCodec{}))
	if err == nil {
		m := anyOf("containerd.services.streaming.v1.StreamInit", str(nil, 1, name))
		if err = st.SendMsg(&m); err == nil {
			var ack []byte
			err = st.RecvMsg(&ack)
		}
	}
	open <- err
	if err != nil {
		return nil // reported through open
	}
	buf := make([]byte, 32<<10)
	window := 0
	for {
		for window == 0 {
			var m []byte
			if err := st.RecvMsg(&m); err != nil {
				return nil // the receiver has read enough, or failed: Transfer tells
			}
			window += windowUpdate(m)
		}
		n, rerr := r.Read(buf[:min(len(buf), window)])
		if n > 0 {
			window -= n
			m := anyOf("containerd.types.transfer.Data", msg(nil, 1, buf[:n]))
			if err := st.SendMsg(&m); err != nil {
				return nil
			}
		}
		if rerr == io.EOF {
			return st.CloseSend()
		}
		if rerr != nil {
			return fmt.Errorf("read image archive: %w", rerr)
		}
	}
}

// windowUpdate reads the update out of an Any that holds a WindowUpdate.
func windowUpdate(b []byte) int {
	value := field(b, 2, protowire.BytesType)
	inner, n := protowire.ConsumeBytes(value)
	if n < 0 {
		return 0
	}
	v, n := protowire.ConsumeVarint(field(inner, 1, protowire.VarintType))
	if n < 0 {
		return 0
	}
	return int(int32(v))
}

// field returns what follows the tag of the first field num in b.
func field(b []byte, num protowire.Number, typ protowire.Type) []byte {
	for len(b) > 0 {
		got, t, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		if got == num && t == typ {
			return b
		}
		if n = protowire.ConsumeFieldValue(got, t, b); n < 0 {
			return nil
		}
		b = b[n:]
	}
	return nil
}

func msg(b []byte, num protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), m)
}

func str(b []byte, num protowire.Number, s string) []byte { return msg(b, num, []byte(s)) }

func flag(b []byte, num protowire.Number, v bool) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), protowire.EncodeBool(v))
}

// anyOf is a google.protobuf.Any as containerd writes it: the type URL is the bare message name.
func anyOf(name string, m []byte) []byte { return msg(str(nil, 1, name), 2, m) }

// rawCodec passes messages that are encoded already.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (rawCodec) Name() string { return "proto" }
