// Package cel is the one way of the hub to the Common Expression Language: the environment that every expression is compiled in
// (rules of custom resources, admission policies, match conditions, claim mappings), and what expressions may cost.
//
// It owns nothing but what the library keeps: its base environment, some megabytes, is made when somebody first compiles an
// expression. It runs no goroutines. The hub's rooms that take expressions import it.
package cel
