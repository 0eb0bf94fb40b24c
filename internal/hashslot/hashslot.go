// Package hashslot finds the hash slots of a Redis Cluster, and names that spread over
// them.
package hashslot

import (
	"math"
	"strconv"
)

// Slots is how many slots a Redis Cluster has; each node has a range of them.
const Slots = 16384

// Of returns the slot of a hash tag: CRC16 (XMODEM) modulo Slots.
func Of(tag string) uint16 {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % Slots
}

// Spread returns the nth of the names that begin with base: base, base-1ab, base-2cd.
// Their slots follow each other by the golden ratio, so that any number of names is
// spread evenly over nodes that share the slots evenly. The two letters at the end select
// the slot.
func Spread(base string, n int) string {
	if n == 0 {
		return base
	}
	want := float64(Of(base)) + Slots*float64(n)*(math.Sqrt(5)-1)/2
	best, least := "", math.Inf(1)
	for c := range 26 * 26 {
		name := base + "-" + strconv.Itoa(n) + string([]byte{'a' + byte(c/26), 'a' + byte(c%26)})
		d := math.Abs(math.Mod(want-float64(Of(name)), Slots))
		if d = min(d, Slots-d); d < least {
			best, least = name, d
		}
	}
	return best
}
