// Package app puts the gateway together: settings, secrets, the connection to
// sync-core, two listeners, and how they start and stop.
//
// Its one invariant: whatever New opened is closed again, by New itself when it
// fails, else by Run or Close. No decision about an event is made here.
package app
