// Package ask sends the same requests to two API servers and tells where their answers differ, once what must differ (uids,
// revisions, times) and what may (the order of causes that a map is walked for) is taken out.
package ask
