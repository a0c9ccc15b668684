package health

import "testing"

func TestCodesThatNobodyKnowsCountByClass(t *testing.T) {
	for code, want := range map[int]string{200: "200", 429: "429", 299: "200", 777: "700", 999: "900"} {
		if got := codeLabel(code); got != want {
			t.Errorf("code %d counts as %s", code, got)
		}
	}
}
