package outbound

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
)

// Basic is HTTP Basic authentication (RFC 7617) whose password is read anew for
// every request. White space around the password is dropped, because secret files
// usually end in a line break.
func Basic(user string, password func() (string, error)) Credential {
	return basic{user: user, password: password}
}

type basic struct {
	user     string
	password func() (string, error)
}

// Authorization implements Credential.
func (b basic) Authorization(context.Context) (string, error) {
	if b.password == nil {
		return "", errors.New("no password is configured")
	}
	secret, err := b.password()
	if err != nil {
		return "", err
	}
	if secret = strings.TrimSpace(secret); secret == "" {
		return "", errors.New("the password is empty")
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(b.user+":"+secret)), nil
}
