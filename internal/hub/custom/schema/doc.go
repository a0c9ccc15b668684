// Package schema says what a custom resource definition says about its objects: which of their fields exist, what they are by
// default, which values they may have, which change may be made. It checks definitions by the same rules.
//
// A Schema stands for one version of a definition and is cheap until it is asked something; what it then makes of the definition
// (a structural schema, a validator, compiled CEL rules) it keeps until Drop. The order in which a request meets it is
//
//	decode, Coerce (prune, and tell unknown fields), Default, admission, Validate or ValidateUpdate or ValidateStatus
//
// and what is read from the store meets Coerce and Default as well.
//
// The package is pure: it changes the objects it is given where it says so and nothing else, and runs no goroutines.
// hub/custom imports it.
package schema
