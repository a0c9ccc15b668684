// Package volumes answers the questions that binder, scheduler, kubelet and provisioner ask alike of claims, persistent volumes and
// storage classes: of which class a claim is, whether a volume and a claim are bound to each other, which of some volumes fits a
// claim best, whether a node can reach a volume, which claims a pod has, what the volumes of CSI drivers are called, and who
// attaches them.
//
// All are functions of values, which are only read; what is changed is a copy. The rules, and the names of annotations and
// finalizers, are those of upstream's component-helpers/storage/volume, whose listers and scheme this package does without. It
// has no data and runs nothing. Whoever knows volumes may import it.
package volumes
