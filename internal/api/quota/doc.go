// Package quota measures what an object takes up of the resources that a ResourceQuota limits, and decides whether a quota still has
// room for a change. Names, rules and words are upstream's (pkg/quota/v1, apiserver/pkg/admission/plugin/resourcequota).
//
// All are functions of values; objects are only read. The package has no data and runs nothing: admission charges quotas by it before
// a write, and the controller counts anew by it what is there.
package quota
