package runtime

import "testing"

func TestWholeName(t *testing.T) {
	const sum = "@sha256:3265a8163cc3aac9ff123364eca4ba9cbac3a165e7446f7e1d340a60b2428e1a"
	for name, want := range map[string]string{
		"localhost/import" + sum:                   "localhost/import" + sum,
		"localhost/import:v7":                      "localhost/import:v7",
		"localhost/import:app:v2":                  "docker.io/library/app:v2",
		"localhost/import:example.com/team/app:v2": "example.com/team/app:v2",
		"localhost/import:team/app":                "docker.io/team/app:latest",
		"app:v2":                                   "docker.io/library/app:v2",
		"app":                                      "docker.io/library/app:latest",
		"team/app":                                 "docker.io/team/app:latest",
		"localhost:5000/app":                       "localhost:5000/app:latest",
		"localhost/app:1":                          "localhost/app:1",
		"example.com:5000/a/b" + sum:               "example.com:5000/a/b" + sum,
		"docker.io/library/busybox:1":              "docker.io/library/busybox:1",
	} {
		if got := wholeName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// What counts as imported: what is new, what was made anew, and none of the names that the CRI makes of its own.
func TestFresh(t *testing.T) {
	before := []stored{{name: "same", updated: "1"}, {name: "again", updated: "1"}}
	after := []stored{{name: "same", updated: "1"}, {name: "again", updated: "2"}, {name: "new", updated: "2"}, {name: "sha256:abc", updated: "2"}}
	got := fresh(before, after)
	if len(got) != 2 || got[0].name != "again" || got[1].name != "new" {
		t.Errorf("%v", got)
	}
}
