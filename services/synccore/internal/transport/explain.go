package transport

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Flags are the names of the flags by which a program is told how to reach sync-core.
type Flags struct {
	Address, CA, Name, Insecure, Certificate string
}

// Unreached tells in sentences why a call did not reach sync-core and what to do. Without
// words for it, such as for what sync-core itself answered, it gives false.
func (c Client) Unreached(err error, flags Flags) (string, bool) {
	state := status.Convert(err)
	text := state.Message()
	says := func(signs ...string) bool {
		for _, sign := range signs {
			if strings.Contains(text, sign) {
				return true
			}
		}
		return false
	}
	if says("unexpected HTTP status code", "looked like an HTTP/1.1 header", "malformed HTTP") {
		return fmt.Sprintf("What answers at %s is no gRPC server; give sync-core's port, usually 9000, with %s.", c.Target, flags.Address), true
	}
	if says("invalid target address", "too many colons in address") {
		return fmt.Sprintf("%q is no address of a server; write it as in %s 127.0.0.1:9000.", c.Target, flags.Address), true
	}
	if state.Code() != codes.Unavailable && state.Code() != codes.DeadlineExceeded {
		return "", false
	}
	at := "sync-core at " + c.Target
	switch {
	case says("first record does not look like a TLS handshake"):
		return fmt.Sprintf("%s serves in plaintext; call it with %s where the network is private, or give it a certificate.", at, flags.Insecure), true
	case says("unknown authority", "certificate is not trusted"):
		return fmt.Sprintf("The certificate of %s is signed by an authority that is not known here; name its PEM file with %s.", at, flags.CA), true
	case says("certificate is valid for", "is not valid for any names", "doesn't contain any IP SANs", "relies on legacy Common Name"):
		return fmt.Sprintf("The certificate of %s is for another name; give the one that is in it with %s.", at, flags.Name), true
	case says("has expired or is not yet valid"):
		return fmt.Sprintf("The certificate of %s has expired or is not valid yet; renew it, and compare the clocks.", at), true
	case says("remote error: tls"):
		return fmt.Sprintf("%s refuses the client's certificate; give one of an authority that it knows (--tls-client-ca) with %s.", at, flags.Certificate), true
	case says("error reading server preface", "server preface") && c.Insecure:
		return fmt.Sprintf("%s does not answer in plaintext; leave %s out if it has a certificate.", at, flags.Insecure), true
	case says("connection refused"):
		return fmt.Sprintf("Nothing listens at %s; start sync-core, or give its address with %s.", c.Target, flags.Address), true
	case says("no such host", "produced zero addresses", "no children to pick from"):
		return fmt.Sprintf("There is no host of the name in %s; correct %s.", c.Target, flags.Address), true
	case says("i/o timeout", "network is unreachable", "no route to host"), says("waiting for connections to become ready", "while waiting for new SubConn"):
		return fmt.Sprintf("%s does not answer; compare %s, and look whether something on the way keeps connections out.", at, flags.Address), true
	case says("connection error", "transport", "authentication handshake"):
		return fmt.Sprintf("%s can't be reached (%s); compare %s.", at, text, flags.Address), true
	default:
		return "", false
	}
}

// errLines is for the form of a token's file.
var errLines = errors.New("it must hold the token alone, in one line")

// oneLine refuses what can't be a token in a header. What it is, is not told.
func oneLine(token, place string) error {
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return fmt.Errorf("reading the token of %s: %w", place, errLines)
		}
	}
	return nil
}
