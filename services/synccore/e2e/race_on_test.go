//go:build e2e && race

package e2e_test

// raceEnabled tells whether the tests run with the race detector, and so the programs.
const raceEnabled = true
