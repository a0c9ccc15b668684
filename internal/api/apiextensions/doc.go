// Package apiextensions has the kind CustomResourceDefinition: its defaults, validation, update rules, conditions and table.
//
// What a definition makes of the objects that it defines is hub/custom's to know.
package apiextensions
