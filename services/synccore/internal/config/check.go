package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/entra"
	"github.com/tandem-sync/tandem/services/synccore/internal/hookkey"
	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

// Check loads a configuration file and tells w, for an administrator, all that is
// wrong with it, or that it is fine. Beyond Load it looks whether the files and
// variables that it refers to can be read from here; what can't is a warning,
// because a file may be checked elsewhere than it is used. It reports whether the
// configuration can be used.
//
// With printed it also tells the configuration that is in effect, as Masked does, and
// what it has to say is a comment in that.
func Check(w io.Writer, path string, printed bool) bool {
	config, err := Load(path)
	var out strings.Builder
	var problems Problems
	switch {
	case errors.As(err, &problems):
		fatal, warnings := problems.split()
		writeAll(&out, problems)
		fmt.Fprintf(&out, "%s has %s%s.\n", path, count(len(fatal), "problem"), andWarnings(len(warnings)))
	case err != nil:
		fmt.Fprintf(&out, "%s: %v\n", path, err)
	default:
		warnings := slices.Concat(config.Warnings, config.reachable(path))
		writeAll(&out, warnings)
		fmt.Fprintf(&out, "%s is fine: %s%s.\n", path, count(len(config.Connectors), "connector"), andWarnings(len(warnings)))
	}
	text := out.String()
	if printed && err == nil {
		text = "# " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n# ") + "\n" + config.Masked()
	}
	_, writeErr := io.WriteString(w, text)
	return err == nil && writeErr == nil
}

func writeAll(out *strings.Builder, problems Problems) {
	for _, problem := range problems {
		out.WriteString(problem.String() + "\n")
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func andWarnings(n int) string {
	if n == 0 {
		return ""
	}
	return ", " + count(n, "warning")
}

// reachable warns of secrets and certificates that can't be used from here.
func (c *Config) reachable(file string) Problems {
	var warnings Problems
	warn := func(path string, err error, remedy string) {
		warnings = append(warnings, Problem{File: file, Path: path, Text: err.Error(), Remedy: remedy, Warning: true})
	}
	read := func(path string, ref secret.Ref) (secret.Value, bool) {
		value, err := ref.Read()
		if err != nil {
			warn(path, err, "Make it readable to the service before it starts")
		}
		return value, err == nil
	}
	usable := func(path string, credential Credential) {
		switch e := credential.Entra; {
		case e == nil && credential.ManagedIdentity == nil:
			read(path, credential.Ref)
		case e != nil && !e.ClientSecret.IsZero():
			read(path+".entra.clientSecret", e.ClientSecret)
		case e != nil:
			if value, ok := read(path+".entra.certificate", e.Certificate); ok {
				if err := entra.CheckCertificate(value.Reveal()); err != nil {
					warn(path+".entra.certificate", err, "Give a PEM file of the certificate and its private key, without a password")
				}
			}
		}
	}
	for _, index := range slices.Sorted(maps.Keys(c.AccessTokens)) {
		usable("accessTokens"+step(index), c.AccessTokens[index])
	}
	for i, ref := range c.HookSecrets {
		path := fmt.Sprintf("hookSecrets[%d]", i)
		if value, ok := read(path, ref); ok {
			if err := hookkey.Check(value.Reveal()); err != nil {
				warn(path, err, "Make a longer one, as with: openssl rand -hex 32")
			}
		}
	}
	if !c.Mail.Password.IsZero() {
		read("mail.password", c.Mail.Password)
	}
	if err := checkCA(c.Mail.CAFile); err != nil {
		warn("mail.caFile", err, "Give a readable PEM file of certificates")
	}
	for i, token := range c.Callers.Tokens {
		if token.Secret.IsZero() {
			continue
		}
		path := fmt.Sprintf("callers.tokens[%d].secret", i)
		if value, ok := read(path, token.Secret); ok && len(value.Reveal()) < MinCallerToken {
			warn(path, errShortToken, "Make a longer one, as with: openssl rand -hex 32")
		}
	}
	for i, issuer := range c.Callers.Issuers {
		if err := checkCA(issuer.CAFile); err != nil {
			warn(fmt.Sprintf("callers.issuers[%d].caFile", i), err, "Give a readable PEM file of certificates")
		}
	}
	for i, connector := range c.Connectors {
		path := fmt.Sprintf("connectors[%d]", i)
		if account := connector.Alvao.Credentials; account.Username != "" {
			read(path+".alvao.credentials.password", account.Ref)
		} else {
			usable(path+".alvao.credentials", account.Credential)
		}
		if !connector.Notice.Teams.IsZero() {
			if value, ok := read(path+".notice.teams", connector.Notice.Teams); ok && !isWebhook(value.Reveal()) {
				warn(path+".notice.teams", errNoWebhook, "Put the URL that the Teams flow shows into it")
			}
		}
		for _, ca := range []struct{ name, file string }{
			{".alvao.caFile", connector.Alvao.CAFile},
			{".azureDevOps.caFile", connector.AzureDevOps.CAFile},
		} {
			if err := checkCA(ca.file); err != nil {
				warn(path+ca.name, err, "Give a readable PEM file of certificates")
			}
		}
	}
	return warnings
}

// MinCallerToken is the least length of a bearer token of the API, in bytes.
const MinCallerToken = 32

var errShortToken = errors.New("the token is shorter than 32 characters")

var errNoWebhook = errors.New("the secret is not an address that begins with https://")

// isWebhook tells whether a secret is an address that a card can be posted to.
func isWebhook(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && u.User == nil &&
		(u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
}

// isLoopback tells whether a host is this machine.
func isLoopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

func checkCA(path string) error {
	if path == "" {
		return nil
	}
	pem, err := readCapped(path)
	if err != nil {
		return fmt.Errorf("reading certificates: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return fmt.Errorf("reading certificates: %s holds none", path)
	}
	return nil
}
