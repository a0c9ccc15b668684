// Package review answers the kinds that are asked and not stored: token, access and rules reviews, and requests for service
// account tokens. Each is a verb.Handler, called after authorization and admission.
//
// It owns nothing and runs no goroutines. The hub alone imports it.
package review
