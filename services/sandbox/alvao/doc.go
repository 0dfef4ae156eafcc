// Package alvao is a stand-in for an ALVAO Service Desk and its AlvaoRestApi: tickets, statuses, log, attachments,
// persons and webhooks in memory, behind the vendor's HTTP interface and behind a Go API for the one who drives it.
//
// The invariant: a write either changes everything it says or nothing, readers see each ticket as it was before or after
// one write, and every write stands in the ledger with who made it. The rules are the vendor's, never the convenience of
// a caller: what Alvao refuses is refused here, with its kinds of error body.
//
// It is an independent reading of the contract and shares nothing with the code it is meant to check. What Alvao's own
// OpenAPI document covers (certified Power Platform connector, v1.2: one ticket, create, patch, state, solver, service,
// log, users, webhooks) answers in its schemas. The rest is modelled, and marked so where it is written:
//
//   - GET /v1/tickets: OData as third-party clients use it; a page size applies when $top is absent and is followed by
//     @odata.nextLink; strings compare without regard to letter case; custom items are absent.
//   - GET /v1/tickets/{id}/log: OData over records shaped like the answer to POST.
//   - GET /v1/tickets/{id}/nextStates: {"value":[{"id","name","requiredFields":[column names]}]}.
//   - GET /v1/services: {"value":[{"id","name","processName","customItems"}]}.
//   - GET /v1/attachments/{id}: what attachments[].link points to.
//   - Refusals: IIS's default limits (query string 2,048 bytes, body 30,000,000 bytes) and rules of business as 400.
//   - Webhooks are posted once, without retry, secret or order.
//
// [Tenant] turns a stand-in into another tenant that a customer may have: string ids, capitalised names, dates without
// offset, no readable log and so on.
package alvao
