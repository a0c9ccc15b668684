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

// UserProxy is upstream's name for who makes Services work on a node; ProxyAccount is the service account of kube-system that the
// proxies of nodes elsewhere speak as, as in clusters that kubeadm makes. A node may have tokens of it that are bound to its Node.
const (
	UserProxy    = "system:kube-proxy"
	ProxyAccount = "kube-proxy"
)

// ExtraSourceAddress is the extra of a certificate request that says from which address its node connected to ask; the hub
// writes it, so that it proves where the node is. A request made in this process has none.
const ExtraSourceAddress = "sampan.dev/source-address"

// AnnotationServingNames on a Node lists further names and addresses, separated by commas, that an administrator lets its
// kubelet's serving certificate name. A node may not write it.
const AnnotationServingNames = "sampan.dev/kubelet-serving-names"

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
