// Package alvao reads and writes the tickets of one Alvao service.
//
// The one invariant: AlvaoRestApi's JSON, its three error bodies and the ways in
// which tenants differ end here. What leaves this package are item values and faults
// with one sentence for a person; what a tenant can't do is met by a fallback and
// told by Check, never by silence.
//
// Sources: Alvao's OpenAPI as certified for Power Platform (v1.2), Alvao's
// documentation 11.1 to 26 and the findings of alvao.md, cited by section where the
// code rests on them. What alvao.md marks as an assumption is marked so here too.
package alvao
