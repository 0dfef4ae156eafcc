// Package webhook is the one way in for everything that a vendor sends.
//
//	method → media type → size → Authenticate → a free place → read → Verify
//	   405        415       413       401           503         413      401
//	      → UTF-8, depth → Read (envelope) → IngestEvent → answer
//	             400            400, 202      400 404 503     202
//
// Its one invariant: 202 is said only after sync-core has stored the event durably,
// or found that there is nothing to store; and everything that may heal is answered
// 503, because Azure DevOps resends after that and disables a hook after 410, 429
// or 500 (Azure DevOps service hooks: troubleshooting page; azure-devops.md §1.7).
//
// What differs between vendors, credentials and envelope, is a Source. Nothing of a
// body but its envelope is looked at; the vendor's schema lives in sync-core.
package webhook
