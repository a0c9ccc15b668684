// Chaos lets clients read and write through the API of a server that is killed and paused all the while, and judges what they
// were told:
//
//   - every answer fits one order of all writes and reads (linearizability, judged by porcupine);
//   - every acknowledged write is there after the kill, and no resource version is given out twice;
//   - a watch shows each change once, in order and of the right type, and ends with 410 where it cannot go on.
//
// It is a module of its own, so that what judges is no dependency of what is judged. It knows nothing of the server but its
// command line and its HTTPS API:
//
//	go -C e2e/chaos run . -bin ../../bin/sampan -kills 200
//
// It ends with status 1 and says what was violated.
package main
