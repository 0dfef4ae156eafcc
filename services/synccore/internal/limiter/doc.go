// Package limiter bounds what all replicas together ask of a vendor with one token's
// identity, since vendors count per identity.
//
// Its one invariant: a live call never waits for Redis. Live calls go out until the vendor
// itself asks to wait; what they use is told to the other replicas about once a second,
// beside the way. Background calls use up slices of a common account, which are fetched
// ahead of a hundred calls and leave a quarter of the vendor's budget to live work. A
// replica without Redis goes on with an account of its own.
//
// A vendor's real costs are not known; they are estimated, and corrected by what its
// answers say is left.
package limiter
