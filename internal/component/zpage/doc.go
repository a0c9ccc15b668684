// Package zpage answers /flagz and /statusz of a component as upstream's do: as text for people, or as Flagz and Statusz of
// config.k8s.io when a client asks for those.
//
// It owns nothing. The components that serve HTTP import it.
package zpage
