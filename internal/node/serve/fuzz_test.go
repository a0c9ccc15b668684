package serve

import (
	"net/url"
	"testing"
	"time"
)

func FuzzLogOptions(f *testing.F) {
	for _, s := range []string{"follow=true&tailLines=3", "sinceTime=x", "limitBytes=-1&stream=Stdout", "sinceSeconds=1&timestamps=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		q, err := url.ParseQuery(in)
		if err != nil {
			t.Skip()
		}
		if _, code, err := parseLogOptions(q, time.Now()); err != nil && (code < 400 || code > 499) {
			t.Errorf("%q: %d %v", in, code, err)
		}
	})
}
