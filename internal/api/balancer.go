package api

// AnnotationAnnounced on a Node lists the addresses, separated by commas, that the node announces on its network by ARP and NDP, because
// balancers have them. The control plane writes it.
const AnnotationAnnounced = "sampan.dev/announced-addresses"
