//go:build !race

package confined_test

const raceDetector = false
