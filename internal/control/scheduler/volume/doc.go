// Package volume has the scheduler's plugins about volumes: whether a pod's claims have, or can get, volumes that a node reaches
// ([Binding]), whether others already use what can be used once ([Restrictions]), zones ([Zone]) and how many volumes a node takes
// ([Limits]).
//
// They see the cluster's claims and volumes through one [Storage], which the scheduler fills with its informers when the first pod with a
// claim comes: until then they cost a look at one bit of each pod. Pods with claims are signed by none of them, and so are judged
// looking at nodes one by one. All but PreBind and its account of what is given away belongs to the scheduler's goroutine. The scheduler
// alone imports it.
package volume
