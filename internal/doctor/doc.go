// Package doctor looks a machine over before or while a cluster runs on it, and says of each finding what mends it.
//
// [Look] gathers facts: it reads and asks and changes nothing. The examination ([Examine]) is pure: facts in, findings out. It owns no
// data. cmd/sampan imports it.
package doctor
