package runtime

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	goruntime "runtime"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
)

// unnamed is what images are called that their archive gives no name, or only a tag: localhost/import@sha256:… or
// localhost/import:TAG. As a reference it is whole, so that a pod can name it.
const unnamed = "localhost/import"

// Imported is an image that an archive brought, under a name that pods can use.
type Imported struct{ Name, Digest string }

// ErrNothingImported says that an archive was read to its end, and there is no image in it for this machine.
var ErrNothingImported = errors.New("the archive holds no image for linux/" + goruntime.GOARCH)

// Import is [ImportImage] for people: it tells what was imported under which name, gives a name to what has none, and fails
// when there was nothing.
func Import(ctx context.Context, endpoint, namespace string, r io.Reader) ([]Imported, error) {
	conn, ctx, err := dialContainerd(ctx, endpoint, namespace)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	before, err := listStored(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("list images: %s", ErrorText(err))
	}
	if err := transfer(ctx, conn, r, flag(flag(str(nil, 1, unnamed), 2, true), 3, true), true); err != nil {
		if strings.Contains(err.Error(), "image might be filtered out") { // so containerd says that it is for other machines
			err = ErrNothingImported
		}
		return nil, err
	}
	after, err := listStored(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("list images: %s", ErrorText(err))
	}
	made, err := tidy(ctx, conn, fresh(before, after))
	if err != nil {
		return nil, err
	}
	if len(made) == 0 {
		return nil, ErrNothingImported
	}
	return made, nil
}

// stored is an image as containerd keeps it: Image of its images service, of which only this is read.
type stored struct {
	name, digest string
	updated      string // an encoded time, only to be compared
	target       []byte
}

func listStored(ctx context.Context, conn *grpc.ClientConn) ([]stored, error) {
	req, answer := []byte(nil), []byte(nil)
	if err := conn.Invoke(ctx, "/containerd.services.images.v1.Images/List", &req, &answer, grpc.ForceCodec(rawCodec{})); err != nil {
		return nil, err
	}
	var out []stored
	for _, image := range fields(answer, 1) {
		target := bytesOf(image, 3)
		out = append(out, stored{string(bytesOf(image, 1)), string(bytesOf(target, 2)), string(bytesOf(image, 8)), target})
	}
	return out, nil
}

// fresh are those of after that were made or made anew. Names that the CRI gives, by the image's configuration, do not count.
func fresh(before, after []stored) []stored {
	known := map[string]string{}
	for _, s := range before {
		known[s.name] = s.updated
	}
	var out []stored
	for _, s := range after {
		if updated, ok := known[s.name]; (!ok || updated != s.updated) && !strings.HasPrefix(s.name, "sha256:") {
			out = append(out, s)
		}
	}
	return out
}

// tidy gives every new image one good name: what containerd made of names that are whole already becomes those, and the
// archive's own index, which it names too, is forgotten.
func tidy(ctx context.Context, conn *grpc.ClientConn, list []stored) ([]Imported, error) {
	var out []Imported
	for _, s := range list {
		name := s.name
		if strings.HasPrefix(name, unnamed+"@") {
			index, err := lists(ctx, conn, s.digest, list)
			if err != nil {
				return nil, fmt.Errorf("read %s: %s", s.digest, ErrorText(err))
			}
			if index {
				if err := deleteStored(ctx, conn, name); err != nil {
					return nil, fmt.Errorf("forget %s: %s", name, ErrorText(err))
				}
				continue
			}
		}
		if whole := wholeName(name); whole != name {
			if err := rename(ctx, conn, s, whole); err != nil {
				return nil, fmt.Errorf("name %s: %s", whole, ErrorText(err))
			}
			name = whole
		}
		out = append(out, Imported{name, s.digest})
	}
	slices.SortFunc(out, func(a, b Imported) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b Imported) bool { return a.Name == b.Name }), nil
}

// wholeName is the reference that a name in an archive stands for, as it is read everywhere: without a host it is Docker Hub's,
// without a tag the latest. Skopeo and buildah write such names where the OCI layout has tags, so that some come with the prefix
// for those.
func wholeName(name string) string {
	ref, prefixed := strings.CutPrefix(name, unnamed+":")
	if prefixed && !strings.ContainsAny(ref, "/:@") || strings.HasPrefix(name, unnamed+"@") {
		return name
	}
	host, path, slash := strings.Cut(ref, "/")
	switch {
	case !slash:
		host, path = "docker.io", "library/"+ref
	case host != "localhost" && !strings.ContainsAny(host, ".:"):
		host, path = "docker.io", ref
	}
	if !strings.ContainsAny(path, ":@") {
		path += ":latest"
	}
	return host + "/" + path
}

// lists tells whether a blob is an index of others of these images: the archive's table of contents.
func lists(ctx context.Context, conn *grpc.ClientConn, digest string, list []stored) (bool, error) {
	st, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/containerd.services.content.v1.Content/Read", grpc.ForceCodec(rawCodec{}))
	if err != nil {
		return false, err
	}
	req := str(nil, 1, digest)
	if err := errors.Join(st.SendMsg(&req), st.CloseSend()); err != nil {
		return false, err
	}
	var blob []byte
	for {
		var m []byte
		err := st.RecvMsg(&m)
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
		blob = append(blob, bytesOf(m, 2)...)
	}
	var index struct {
		Manifests []struct{ Digest string }
	}
	if json.Unmarshal(blob, &index) != nil {
		return false, nil
	}
	if len(index.Manifests) == 0 {
		return strings.Contains(string(blob), `"manifests"`), nil // of an empty archive
	}
	for _, m := range index.Manifests {
		if slices.ContainsFunc(list, func(s stored) bool { return s.digest == m.Digest }) {
			return true, nil
		}
	}
	return false, nil
}

func deleteStored(ctx context.Context, conn *grpc.ClientConn, name string) error {
	req, answer := str(nil, 1, name), []byte(nil)
	return conn.Invoke(ctx, "/containerd.services.images.v1.Images/Delete", &req, &answer, grpc.ForceCodec(rawCodec{}))
}

// rename stores an image under another name, whatever had it.
func rename(ctx context.Context, conn *grpc.ClientConn, s stored, name string) error {
	_ = deleteStored(ctx, conn, name)
	req, answer := msg(nil, 1, msg(str(nil, 1, name), 3, s.target)), []byte(nil)
	if err := conn.Invoke(ctx, "/containerd.services.images.v1.Images/Create", &req, &answer, grpc.ForceCodec(rawCodec{})); err != nil {
		return err
	}
	return deleteStored(ctx, conn, s.name)
}

// fields are the values of all fields num, which are bytes.
func fields(b []byte, num protowire.Number) (out [][]byte) {
	for len(b) > 0 {
		got, t, n := protowire.ConsumeTag(b)
		if n < 0 {
			return out
		}
		b = b[n:]
		if got == num && t == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return out
			}
			out, b = append(out, v), b[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(got, t, b); n < 0 {
			return out
		}
		b = b[n:]
	}
	return out
}

func bytesOf(b []byte, num protowire.Number) []byte {
	if all := fields(b, num); len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}
