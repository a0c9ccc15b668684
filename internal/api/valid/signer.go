package valid

import (
	"fmt"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// SignerName checks the name of a certificate signer: "example.com/signer-name".
func SignerName(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return Required(path, "")
	}
	domain, rest, ok := strings.Cut(name, "/")
	if !ok || strings.Contains(rest, "/") {
		return Invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
	}
	var errs field.ErrorList
	const longestDomain = validation.DNS1123SubdomainMaxLength
	if len(domain) > longestDomain {
		errs = append(errs, field.TooLong(path, "", longestDomain))
	}
	labels := strings.Split(domain, ".")
	errs = append(errs, firstBad(path, domain, labels, validation.IsDNS1123Label)...)
	if len(labels) < 2 {
		errs = append(errs, field.Invalid(path, domain, "should be a domain with at least two segments separated by dots"))
	}
	errs = append(errs, firstBad(path, rest, strings.Split(rest, "."), validation.IsDNS1123Subdomain)...)
	// The path must have room for a namespace and a name.
	const longest = longestDomain + 1 + validation.DNS1123SubdomainMaxLength + validation.DNS1123LabelMaxLength + 1
	if len(name) > longest {
		errs = append(errs, field.TooLong(path, "", longest))
	}
	return errs
}

// firstBad complains of the first label that the rule refuses; later ones would repeat it.
func firstBad(path *field.Path, value string, labels []string, rule func(string) []string) field.ErrorList {
	for _, label := range labels {
		if msgs := rule(label); len(msgs) > 0 {
			var errs field.ErrorList
			for _, msg := range msgs {
				errs = append(errs, field.Invalid(path, value, fmt.Sprintf("validating label %q: %s", label, msg)))
			}
			return errs
		}
	}
	return nil
}

// trustBundleName says what is wrong with the name of a ClusterTrustBundle: one with a signer is named for it
// ("example.com:signer:name").
func trustBundleName(name string) []string {
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	return apivalidation.NameIsDNSSubdomain(name, false)
}
