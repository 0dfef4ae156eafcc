// Package entra gets access tokens from Microsoft Entra, for an application with a
// client secret or a certificate, or for the managed identity of the machine, through
// Microsoft's own library (MSAL).
//
// Its one invariant: a client secret, a certificate's signature or a token leaves for
// the configured authority alone, and none of them stands in an error: what Entra
// answers is reduced to its code before anybody sees it.
//
// Tokens live for about an hour. One is fetched anew before it ends, beside the way,
// while calls go on with the old one.
package entra
