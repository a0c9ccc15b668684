// Package plugin holds what decides where a pod may and should run: one file per filter or score, and the values they
// work on ([Pod], [Node]). All of it is pure. The scheduler alone imports it.
package plugin
