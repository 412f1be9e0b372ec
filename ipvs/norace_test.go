//go:build !race

package ipvs

const raceDetector = false
