// Package flagtest holds a component's table of flags against upstream's list of flags and fields, which it carries. It owns no
// other data. Tests of the components import it.
package flagtest
