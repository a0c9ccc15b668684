package paging

import (
	"encoding/base64"
	"encoding/json"
	"path"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// token is what a continue token holds; its form is public and upstream's.
type token struct {
	Version  string `json:"v"`
	Revision int64  `json:"rv"`    // -1: continue at the latest state
	Start    string `json:"start"` // key after the prefix
}

const tokenVersion = "meta.k8s.io/v1"

// Encode makes the token that continues at key from, below prefix, in the state at revision; -1 is the latest state.
func Encode(from, prefix string, revision int64) string {
	out, err := json.Marshal(token{Version: tokenVersion, Revision: revision, Start: strings.TrimPrefix(from, prefix)})
	if err != nil {
		panic(err) // strings and a number
	}
	return base64.RawURLEncoding.EncodeToString(out)
}

// Decode returns the key to start from, under prefix, and the revision.
func Decode(value, prefix string) (from string, revision int64, err error) {
	bad := func(why string) (string, int64, error) {
		return "", 0, apierrors.NewBadRequest("invalid continue token: continue key is not valid" + why)
	}
	data, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return bad(": " + err.Error())
	}
	var t token
	if err := json.Unmarshal(data, &t); err != nil {
		return bad(": " + err.Error())
	}
	switch {
	case t.Version != tokenVersion:
		return bad(": server does not recognize this encoded version " + t.Version)
	case t.Revision == 0:
		return bad(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
	case t.Start == "":
		return bad(": encoded start key empty (version meta.k8s.io/v1)")
	}
	key := "/" + strings.TrimPrefix(t.Start, "/")
	if path.Clean(key) != key { // it must not climb out of the prefix
		return bad(": " + t.Start)
	}
	return prefix + key[1:], t.Revision, nil
}
