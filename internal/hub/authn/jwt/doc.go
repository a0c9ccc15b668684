// Package jwt authenticates tokens that other issuers have signed (OpenID Connect), as the jwt part of an AuthenticationConfiguration
// says: which issuers, for which audiences, and how claims become a user, by name or by CEL.
//
// While [Authenticator.Run] runs, an [Authenticator] has a goroutine for each issuer that has not been reached yet, and Run follows the
// file. Package authn asks it after service accounts' and bootstrap tokens; package hub makes it.
package jwt
