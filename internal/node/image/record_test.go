package image

import (
	"log/slog"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestRecords(t *testing.T) {
	secret := func(name, hash string) login {
		return login{secret: &secretRef{UID: types.UID("u-" + name), Namespace: "ns", Name: name, CredentialHash: hash}}
	}
	r := &records{dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}
	must := func(v Verification, image, ref string, logins ...login) bool {
		return r.mustPull(v, image, ref, func() []login { return logins })
	}
	def := Verification{Policy: NeverVerifyPreloaded}
	check := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: must pull %t", what, got)
		}
	}
	check("an image of before us", must(def, "r.io/a:1", "sha256:a"), false)
	check("the same, always verified", must(Verification{Policy: AlwaysVerify}, "r.io/a:1", "sha256:a"), true)

	if err := r.begin("r.io/b:1"); err != nil {
		t.Fatal(err)
	}
	check("while it is pulled", must(def, "r.io/b:1", "sha256:b"), true)
	r.done("r.io/b:1", "sha256:b", login{})
	check("pulled without credentials", must(def, "r.io/b:1", "sha256:b"), false)
	check("another name of the same image", must(def, "q.io/b:1", "sha256:b"), true)

	one := secret("one", "h1")
	r.done("r.io/c:1", "sha256:c", one)
	check("nobody's", must(def, "r.io/c:1", "sha256:c"), true)
	check("its secret", must(def, "r.io/c:1", "sha256:c", one), false)
	check("another tag", must(def, "r.io/c:2", "sha256:c", one), false)
	check("the same credentials in another secret", must(def, "r.io/c:1", "sha256:c", secret("two", "h1")), false)
	check("its secret with other credentials", must(def, "r.io/c:1", "sha256:c", secret("one", "h2")), false)
	check("other credentials", must(def, "r.io/c:1", "sha256:c", secret("three", "h3")), true)
	check("never verified", must(Verification{Policy: NeverVerify}, "r.io/c:1", "sha256:c"), false)
	check("allowed", must(Verification{Policy: NeverVerifyAllowlisted, Allowed: []string{"r.io/*"}}, "r.io/c:1", "sha256:c"), false)
	check("not allowed", must(Verification{Policy: NeverVerifyAllowlisted, Allowed: []string{"r.io/d"}}, "r.io/c:1", "sha256:c"), true)

	// A kubelet that died while it pulled: the next one knows that nobody has shown credentials.
	if err := r.begin("r.io/e:1"); err != nil {
		t.Fatal(err)
	}
	if err := r.begin("r.io/f:1"); err != nil {
		t.Fatal(err)
	}
	r.settle(func(image string) string { return map[string]string{"r.io/e:1": "sha256:e"}[image] })
	check("pulled when it died", must(def, "r.io/e:1", "sha256:e"), true)
	check("not pulled when it died", must(def, "r.io/f:1", "sha256:f"), false)
	r.keep(map[string]bool{"sha256:c": true}, time.Now().Add(time.Hour))
	check("of an image that is gone nothing is known", must(def, "r.io/b:1", "sha256:b"), false)
	check("of one that stays all is", must(def, "r.io/c:1", "sha256:c"), true)
	if none := (&records{}); none.mustPull(def, "x", "y", nil) || none.begin("x") != nil {
		t.Error("without a folder nothing is verified")
	}
}
