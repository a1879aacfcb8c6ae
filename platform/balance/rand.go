package balance

import "sync/atomic"

// Rand is a source of random numbers that many goroutines share without a lock:
// SplitMix64 (Steele, Lea, Flood 2014). One seed gives one sequence.
type Rand struct{ state atomic.Uint64 }

// Uint64 returns 64 random bits.
func (r *Rand) Uint64() uint64 { return mix(r.state.Add(golden)) }

// IntN returns a number from 0 to n-1; n must be above 0. Its bias, below
// n/2³², is of no matter here.
func (r *Rand) IntN(n int) int { return int(r.Uint64() >> 32 * uint64(n) >> 32) }

// Float returns a number from 0 up to, not including, 1.
func (r *Rand) Float() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

const golden = 0x9e3779b97f4a7c15

// mix makes all bits of x depend on all others.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Hash is a 64-bit hash of a text, the same in every process (FNV-1a, mixed).
// It is never 0, so that it can be the Key of a Call.
func Hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return max(mix(h), 1)
}

// Combine is a hash of two hashes, in this order.
func Combine(a, b uint64) uint64 { return mix(a*golden + b) }
