package api

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
)

// maxToken is the most bytes of a page token.
const maxToken = 4096

const foreignPage = "must be a next_page_token that this method sent for the same request"

// sealToken makes a page token of a place in a list and of what was asked for, which
// openToken wants to be the same. It is opaque and not secret.
func sealToken(place string, asked ...string) string {
	if place == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(fingerprint(asked), place...))
}

// openToken reads the place in a page token; empty: the beginning.
func openToken(v *violations, token string, asked ...string) string {
	if token == "" {
		return ""
	}
	mark := fingerprint(asked)
	text, err := base64.RawURLEncoding.DecodeString(token[:min(len(token), maxToken)])
	if err != nil || len(token) > maxToken || len(text) <= len(mark) || string(text[:len(mark)]) != string(mark) {
		v.add("page_token", foreignPage)
		return ""
	}
	return string(text[len(mark):])
}

func fingerprint(asked []string) []byte {
	hash := fnv.New32a()
	for _, one := range asked {
		_, _ = hash.Write(append([]byte(one), 0)) // a hash takes everything
	}
	return binary.BigEndian.AppendUint32(nil, hash.Sum32())
}
