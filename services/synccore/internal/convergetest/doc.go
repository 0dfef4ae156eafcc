// Package convergetest attacks the promise that both systems converge: after any
// sequence of edits on both sides, under lost, doubled, late and reordered webhooks,
// failing calls and a process that dies at any moment, once it is quiet and one resync
// has run, the two systems agree, every message and file stands on the other side
// exactly once, and a further resync writes nothing.
//
// It plays random histories of people and misfortunes over both stand-in systems with
// the real connectors, worker, inbox, stores and clients. All of that runs in one
// process in virtual time (testing/synctest), the only things that are not the real
// ones being the wires: HTTP calls go straight to the stand-ins' handlers, and Redis is
// the embedded one at the end of a pipe.
//
// Beside the random histories there are acts: short histories in which a process dies after
// each single step that it takes over the wires, by the table of steps, and the next one
// dies as well.
//
// The one invariant: what is expected is taken from what people did and from the
// stand-ins' own data, never from what Tandem remembers.
package convergetest
