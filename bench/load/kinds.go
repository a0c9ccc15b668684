package load

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sample is an object of a kind as somebody would make it, none of which keeps a controller busy once it is as it was asked to be.
// NAME in it is its name and REPLICAS how many pods a workload has.
type sample struct {
	groupVersion, resource string
	cluster                bool // has no namespace
	spec                   string
}

const podTemplate = `"template":{"metadata":{"labels":{"app":"NAME"}},"spec":{"schedulerName":"` + nobody + `","containers":[{"name":"c","image":"registry.example.com/none:1"}]}}`

const onceTemplate = `"template":{"spec":{"schedulerName":"` + nobody + `","restartPolicy":"Never","containers":[{"name":"c","image":"registry.example.com/none:1"}]}}`

// samples are the kinds that people use. Left out is what cannot be made without its counterpart: reviews, bindings, custom resources.
var samples = []sample{
	{"v1", "configmaps", false, `"data":{"key":"value"}`},
	{"v1", "secrets", false, `"stringData":{"key":"value"}`},
	{"v1", "serviceaccounts", false, ``},
	{"v1", "services", false, `"spec":{"selector":{"app":"NAME"},"ports":[{"port":80}]}`},
	{"v1", "pods", false, `"spec":{"schedulerName":"` + nobody + `","containers":[{"name":"c","image":"registry.example.com/none:1"}]}`},
	{"v1", "podtemplates", false, podTemplate},
	{"v1", "limitranges", false, `"spec":{"limits":[{"type":"Container","max":{"cpu":"64"}}]}`},
	{"v1", "resourcequotas", false, `"spec":{"hard":{"count/leases.coordination.k8s.io":"100000"}}`},
	{"v1", "replicationcontrollers", false, `"spec":{"replicas":0,"selector":{"rc":"NAME"},"template":{"metadata":{"labels":{"rc":"NAME"}},"spec":{"containers":[{"name":"c","image":"registry.example.com/none:1"}]}}}`},
	{"v1", "persistentvolumeclaims", false, `"spec":{"storageClassName":"","volumeName":"NAME","accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}`},
	{"v1", "persistentvolumes", true, `"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"persistentVolumeReclaimPolicy":"Retain","hostPath":{"path":"/none"}}`},
	{"v1", "nodes", true, `"spec":{"providerID":"none://NAME"}`},
	{"v1", "namespaces", true, ``},
	{"apps/v1", "deployments", false, `"spec":{"replicas":REPLICAS,"progressDeadlineSeconds":2147483647,"selector":{"matchLabels":{"app":"NAME"}},` + podTemplate + `}`},
	{"apps/v1", "statefulsets", false, `"spec":{"replicas":REPLICAS,"serviceName":"NAME","selector":{"matchLabels":{"app":"NAME"}},` + podTemplate + `}`},
	{"apps/v1", "daemonsets", false, `"spec":{"selector":{"matchLabels":{"app":"NAME"}},"template":{"metadata":{"labels":{"app":"NAME"}},"spec":{"nodeSelector":{"never":"here"},"containers":[{"name":"c","image":"registry.example.com/none:1"}]}}}`},
	{"batch/v1", "jobs", false, `"spec":{"suspend":true,` + onceTemplate + `}`},
	{"batch/v1", "cronjobs", false, `"spec":{"schedule":"0 0 1 1 *","jobTemplate":{"spec":{` + onceTemplate + `}}}`},
	{"autoscaling/v2", "horizontalpodautoscalers", false, `"spec":{"minReplicas":1,"maxReplicas":3,"scaleTargetRef":{"apiVersion":"v1","kind":"ReplicationController","name":"NAME"},"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}]}`},
	{"policy/v1", "poddisruptionbudgets", false, `"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"NAME"}}}`},
	{"networking.k8s.io/v1", "ingresses", false, `"spec":{"defaultBackend":{"service":{"name":"NAME","port":{"number":80}}}}`},
	{"networking.k8s.io/v1", "networkpolicies", false, `"spec":{"podSelector":{"matchLabels":{"app":"NAME"}},"policyTypes":["Ingress"]}`},
	{"networking.k8s.io/v1", "ingressclasses", true, `"spec":{"controller":"example.com/none"}`},
	{"discovery.k8s.io/v1", "endpointslices", false, `"addressType":"IPv4","endpoints":[{"addresses":["192.0.2.1"]}]`},
	{"coordination.k8s.io/v1", "leases", false, `"spec":{"holderIdentity":"nobody","leaseDurationSeconds":60}`},
	{"rbac.authorization.k8s.io/v1", "roles", false, `"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]`},
	{"rbac.authorization.k8s.io/v1", "rolebindings", false, `"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"NAME"},"subjects":[{"kind":"ServiceAccount","name":"NAME","namespace":"default"}]`},
	{"rbac.authorization.k8s.io/v1", "clusterroles", true, `"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]`},
	{"rbac.authorization.k8s.io/v1", "clusterrolebindings", true, `"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"NAME"},"subjects":[{"kind":"User","name":"NAME","apiGroup":"rbac.authorization.k8s.io"}]`},
	{"storage.k8s.io/v1", "storageclasses", true, `"provisioner":"example.com/none"`},
	{"storage.k8s.io/v1", "csidrivers", true, `"spec":{"attachRequired":false}`},
	{"storage.k8s.io/v1", "csistoragecapacities", false, `"storageClassName":"NAME","capacity":"1Gi"`},
	{"storage.k8s.io/v1", "volumeattributesclasses", true, `"driverName":"example.com","parameters":{"iops":"100"}`},
	{"scheduling.k8s.io/v1", "priorityclasses", true, `"value":1000`},
	{"node.k8s.io/v1", "runtimeclasses", true, `"handler":"none"`},
	{"resource.k8s.io/v1", "deviceclasses", true, `"spec":{}`},
	{"resource.k8s.io/v1", "resourceclaims", false, `"spec":{"devices":{"requests":[{"name":"one","exactly":{"deviceClassName":"NAME"}}]}}`},
	{"resource.k8s.io/v1", "resourceclaimtemplates", false, `"spec":{"spec":{"devices":{"requests":[{"name":"one","exactly":{"deviceClassName":"NAME"}}]}}}`},
	{"admissionregistration.k8s.io/v1", "validatingadmissionpolicies", true, `"spec":{"failurePolicy":"Ignore","matchConstraints":{"resourceRules":[{"apiGroups":["example.com"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nothings"]}]},"validations":[{"expression":"true"}]}`},
	{"admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", true, `"webhooks":[]`},
}

// postSample makes an object of a kind.
func (r *run) postSample(hc *http.Client, host, ns, name, replicas string, s sample) error {
	if s.cluster {
		ns = ""
	}
	more := ""
	if s.spec != "" {
		more = "," + strings.NewReplacer("NAME", name, "REPLICAS", replicas).Replace(s.spec)
	}
	return r.post(hc, host+collectionPath(s.groupVersion, ns, s.resource), fmt.Appendf(nil, `{"metadata":{"name":%q}%s}`, name, more))
}

// populate makes n objects, as many of each of the kinds.
func (r *run) populate(ns, replicas string, n int, kinds []sample) error {
	type client struct {
		hc   *http.Client
		host string
	}
	var clients []client
	for range r.workers {
		hc, host, err := r.raw()
		if err != nil {
			return err
		}
		clients = append(clients, client{hc, host})
	}
	return each(n, r.workers, func(w, i int) error {
		c := clients[w]
		return r.postSample(c.hc, c.host, ns, fmt.Sprintf("o%05d", i/len(kinds)), replicas, kinds[i%len(kinds)])
	})
}

// namespaced are the kinds that go with their namespace.
func namespaced() []sample {
	var out []sample
	for _, s := range samples {
		if !s.cluster {
			out = append(out, s)
		}
	}
	return out
}

// nskinds fills a namespace with objects of every kind that a namespace has and measures until it is gone.
func (r *run) nskinds() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	ns := r.space
	if err := r.namespace(cs, ns); err != nil {
		return err
	}
	kinds := namespaced()
	if err := r.populate(ns, "0", r.n, kinds); err != nil {
		return err
	}
	r.pause(5 * time.Second)
	before := r.pids.Take()
	if err := cs.CoreV1().Namespaces().Delete(r.ctx, ns, metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := r.until(5*time.Millisecond, func() bool {
		_, err := cs.CoreV1().Namespaces().Get(r.ctx, ns, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}); err != nil {
		return err
	}
	used := r.window(before)
	r.put("s", used.At.Sub(before.At).Seconds())
	r.put("cpu_us", 1e6*used.CPU/float64(r.n))
	r.note("%d kinds", len(kinds))
	return nil
}

// still makes n objects of every kind, lets the cluster come to rest, and counts what it does then: CPU over -lasting while nobody
// looks, then what is written in a minute.
func (r *run) still() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	if err := r.namespace(cs, r.space); err != nil {
		return err
	}
	if err := r.populate(r.space, "1", r.n, samples); err != nil {
		return err
	}
	r.pause(r.settle)
	before := r.pids.Take()
	r.pause(r.lasting)
	used := r.window(before)
	wall := used.At.Sub(before.At)
	r.put("cpu_percent", 100*used.CPU/wall.Seconds())
	r.put("disk_mb_hour", used.Written/1e6*3600/wall.Seconds())
	r.put("rss_mb", r.pids.RSS())
	resources, err := watchable(cs)
	if err != nil {
		return err
	}
	t, err := r.count("", resources...)
	if err != nil {
		return err
	}
	defer t.stop()
	r.pause(r.minute)
	events, err := t.end()
	if err != nil {
		return err
	}
	leases, others := 0, 0
	for kind, n := range events {
		if strings.HasPrefix(kind, "leases ") {
			leases += n
			continue
		}
		others += n
		r.note("in a minute: %s %d", kind, n)
	}
	perMinute := float64(time.Minute) / float64(r.minute)
	r.put("writes_minute", float64(others)*perMinute)
	r.put("leases_minute", float64(leases)*perMinute)
	r.note("%d objects of %d kinds and what controllers made of them", r.n, len(samples))
	return nil
}
