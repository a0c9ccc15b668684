package api

// User is an authenticated caller.
type User struct {
	Name   string
	UID    string
	Groups []string
	Extra  map[string][]string
}

// Groups and users that the system itself gives meaning to.
const (
	GroupMasters         = "system:masters"
	GroupNodes           = "system:nodes"
	GroupAuthenticated   = "system:authenticated"
	GroupUnauthenticated = "system:unauthenticated"
	UserAnonymous        = "system:anonymous"
	UserAPIServer        = "system:apiserver"
	UserScheduler        = "system:kube-scheduler"
	UserControllers      = "system:kube-controller-manager"
)

// ServiceAccount returns the user that stands for a service account.
func ServiceAccount(namespace, name, uid string) User {
	return User{
		Name:   "system:serviceaccount:" + namespace + ":" + name,
		UID:    uid,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, GroupAuthenticated},
	}
}

// Node returns the user that a kubelet is.
func Node(name string) User {
	return User{Name: "system:node:" + name, Groups: []string{GroupNodes, GroupAuthenticated}}
}
