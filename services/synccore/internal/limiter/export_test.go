package limiter

// LedgerOver makes a Ledger over a client of the test's own.
var LedgerOver = newLedger
