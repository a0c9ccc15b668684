package authn

import (
	"net/http"

	"sampan.dev/internal/api"
)

// Authenticator looks at a request. ok false with a nil error means "not mine"; an error means the credential was mine and
// is bad, which ends in 401.
type Authenticator interface {
	Authenticate(r *http.Request) (user api.User, ok bool, err error)
}
