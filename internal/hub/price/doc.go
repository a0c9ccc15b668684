// Package price tells what a request body would cost to decode before it is decoded, and refuses what is out of all
// proportion: two bytes may stand for a kilobyte, ten digits for a number that fills the memory, a name for a megabyte of text.
//
// It owns what it has learnt of the types of the API and runs no goroutines. hub/wire and hub/apply import it.
package price
