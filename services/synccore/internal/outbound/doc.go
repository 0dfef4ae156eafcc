// Package outbound is how sync-core speaks HTTP to a vendor:
//
//	Client → Guard (origin, credential) → Retry (gate, time limit, repeats) → transport
//
// The one invariant: a credential is attached only to requests that stay inside the
// configured origins; every other request is refused before anything is sent, and
// redirects are never followed.
//
// The package knows no vendor: what a status or a body means is the adapters' to say.
// What can go wrong with any of them is told alike, in the Words that they give.
package outbound
