//go:build race

package ipvs

// The race detector makes sync.Pool forget at random, so allocations cannot be
// counted under it.
const raceDetector = true
