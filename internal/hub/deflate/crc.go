package deflate

import "hash/crc32"

// CRC-32 takes data for a polynomial over GF(2) and gives its remainder modulo the IEEE polynomial. The checksum of a
// followed by b is that of a times x^(8·len(b)), plus that of b. Polynomials of degree below 32 are held as CRC-32 holds
// them, the coefficient of x^0 in the highest bit.

// times multiplies modulo the polynomial.
func times(a, b uint32) uint32 {
	var product uint32
	for bit := uint32(1) << 31; a != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
			a &^= bit
		}
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return product
}

// squares[i] is x^(2^i).
var squares = func() (t [64]uint32) {
	t[0] = 1 << 30 // x
	for i := 1; i < len(t); i++ {
		t[i] = times(t[i-1], t[i-1])
	}
	return t
}()

// power is x^(8·n): what n bytes more do to a checksum.
func power(n int) uint32 {
	p := uint32(1) << 31 // one
	for i, bits := 0, uint64(n)*8; bits != 0; i, bits = i+1, bits>>1 {
		if bits&1 != 0 {
			p = times(squares[i], p)
		}
	}
	return p
}
