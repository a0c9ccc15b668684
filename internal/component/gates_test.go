package component

import "testing"

func TestFeatureGates(t *testing.T) {
	for given, want := range map[string]string{
		"":                                    "",
		"AllAlpha=false,KMSv1=true":           "",
		"kube:InPlacePodVerticalScaling=true": "",
		"Nosuch=true":                         "unrecognized feature gate: Nosuch",
		"KMSv1":                               "missing bool value for KMSv1",
		"KMSv1=maybe":                         `invalid value of KMSv1=maybe, err: strconv.ParseBool: parsing "maybe": invalid syntax`,
	} {
		err := knownGates(given)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%q: %v", given, err)
		}
	}
}
