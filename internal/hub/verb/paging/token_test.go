package paging

import "testing"

func TestTokens(t *testing.T) {
	const prefix = "/registry/pods/"
	from, rev, err := Decode(Encode(prefix+"ns/a\x00", prefix, 7), prefix)
	if err != nil || from != prefix+"ns/a\x00" || rev != 7 {
		t.Errorf("%q %d %v", from, rev, err)
	}
	for _, bad := range []token{
		{Version: "v2", Revision: 1, Start: "a"}, {Version: tokenVersion, Start: "a"}, {Version: tokenVersion, Revision: 1},
		{Version: tokenVersion, Revision: 1, Start: "../secrets/x"},
	} {
		raw := Encode(bad.Start, "", bad.Revision)
		if bad.Version != tokenVersion {
			raw = "eyJ2IjoidjIiLCJydiI6MSwic3RhcnQiOiJhIn0"
		}
		if _, _, err := Decode(raw, prefix); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}
