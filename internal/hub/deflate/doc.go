// Package deflate puts gzip streams together from parts that were compressed before, each on its own.
//
// client-go asks for gzip, so that compressing is most of what an otherwise cached list costs. A DEFLATE stream (RFC 1951)
// is a sequence of blocks, and blocks that refer to nothing before them may stand in any stream that is at a byte boundary,
// where a flush leaves it. The checksum at the end of a gzip stream (RFC 1952) follows from those of its parts. So a run
// of objects is compressed once, and a list is a copy.
//
// The package has no state but a pool of compressors. hub/cache keeps the blocks, hub/wire writes them.
package deflate
