// Package e2e tests Tandem from outside: both programs as processes, a real
// redis-server, both stand-in systems, a real browser and an OTLP collector.
//
// Its one invariant: a test knows only what an administrator, a vendor or a person at
// the page could know: HTTP, gRPC, logs, metrics, spans and the two systems' state. Its
// files carry the build tag e2e; `make e2e` runs them. The list of the vendors' traps alone
// carries none: it is checked with every test run.
package e2e
