//go:build !race

package taskstats

const raceDetector = false
