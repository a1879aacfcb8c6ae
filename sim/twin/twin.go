// Package twin builds and starts the exact twin of this program: the same
// source, compiled with a few lines of Go's runtime changed, so that what
// happens in a testing/synctest bubble is a function of a seed alone.
//
//	Edits    what is changed in copies of Go's own files, and why
//	Overlay  writes the copies, for go build -overlay
//	Build    builds the twin once for each state of the source
//	Exec     goes on as the twin
//	Arm      in the twin: seeds the next bubble
//
// No other build sees the changes. Where a Go version has moved one of the
// lines, Overlay says which, and nothing is guessed.
//
// What it takes beside the edits: one P, set in the environment before the
// start; a fresh process for each seed; no garbage collection but where all
// goroutines are blocked.
package twin

// An Order is the one in which runnable goroutines run.
type Order int

// The orders that Arm knows.
const (
	Queued   Order = iota // first come, first served, as Go's scheduler does mostly
	Shuffled              // drawn from the seed: finds more races, costs a little
)
