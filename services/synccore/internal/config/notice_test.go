package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

// withNotice is a configuration that tells solvers.
func withNotice(t *testing.T, mail, notice string) string {
	t.Helper()
	return mail + file("\n"+indent(seedSettings(t), "      ")) + "    notice: " + notice + "\n"
}

const server = "mail: {server: smtp.contoso.com, from: tandem@contoso.com}\n"

func TestNotice(t *testing.T) {
	t.Parallel()
	for server, want := range map[string]struct {
		host string
		port int
		tls  string
	}{
		"{server: smtp.contoso.com, from: a@b.cz}":                      {"smtp.contoso.com", 587, "starttls"},
		"{server: smtp.contoso.com, tls: implicit, from: a@b.cz}":       {"smtp.contoso.com", 465, "implicit"},
		"{server: relay, tls: none, from: a@b.cz}":                      {"relay", 25, "none"},
		"{server: 'smtp.contoso.com:2525', from: 'Tandem <a@b.cz>'}":    {"smtp.contoso.com", 2525, "starttls"},
		"{server: '[::1]:2525', from: a@b.cz}":                          {"::1", 2525, "starttls"},
		"{server: 10.0.0.1, from: a@b.cz, user: x, password: {env: P}}": {"10.0.0.1", 587, "starttls"},
	} {
		c := parse(t, withNotice(t, "mail: "+server+"\n", "{email: true}"))
		n := c.Connectors[0].Notice
		if !n.Wanted() || n.Mail != c.Mail || n.Mail.Host != want.host || n.Mail.Port != want.port || n.Mail.TLS != want.tls {
			t.Errorf("%s: %+v", server, n.Mail)
		}
	}
	c := parse(t, withNotice(t, "", "{teams: {env: TEAMS}}"))
	if n := c.Connectors[0].Notice; n.Email || n.Teams.Env != "TEAMS" || n.Mail != (config.Mail{}) {
		t.Errorf("%+v", n)
	}
}

func TestNoticeIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ mail, notice, says string }{
		"no server":              {"", "{email: true}", "there is no mail server"},
		"no way":                 {"", "{}", "no way to tell"},
		"secret in the file":     {"", "{teams: 'https://x?sig=s'}", "does not belong into this file"},
		"credentials in clear":   {"mail: {server: a, tls: none, from: a@b.cz, user: x, password: {env: P}}\n", "{email: true}", "not sent without TLS"},
		"user without password":  {"mail: {server: a, from: a@b.cz, user: x}\n", "{email: true}", "mail.password"},
		"password without user":  {"mail: {server: a, from: a@b.cz, password: {env: P}}\n", "{email: true}", "mail.user"},
		"tls that there is not":  {"mail: {server: a, tls: starttsl, from: a@b.cz}\n", "{email: true}", "Did you mean starttls?"},
		"server with a scheme":   {"mail: {server: 'smtp://a', from: a@b.cz}\n", "{email: true}", "is not the name of a server"},
		"server without a host":  {"mail: {server: ':25', from: a@b.cz}\n", "{email: true}", "is not the name of a server"},
		"port that there is not": {"mail: {server: 'a:smtp', from: a@b.cz}\n", "{email: true}", "is not a port"},
		"sender with a line":     {"mail: {server: a, from: \"a@b.cz\\r\\nBcc: c@d.cz\"}\n", "{email: true}", "is not an e-mail address"},
		"two bodies":             {server, "{email: true, body: x, bodyFile: y}", "a body beside it"},
		"no file":                {server, "{email: true, bodyFile: /nowhere/body.txt}", "can't be read"},
		"unknown field":          {server, "{email: true, body: '{{.Ticket.Titel}}'}", "Did you mean .Ticket.Title?"},
		"empty body":             {server, "{email: true, body: ' '}", "it is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			only(t, withNotice(t, tc.mail, tc.notice), tc.says)
		})
	}
}

// A mistake in a template is reported at its line in the file.
func TestTemplateMistakeHasItsLine(t *testing.T) {
	t.Parallel()
	content := withNotice(t, server, "\n      email: true\n      body: |\n        one\n        {{.Ticket.Nope}}\n")
	p := only(t, content, "connectors[0].notice.body", "no field .Ticket.Nope")
	line := strings.Split(content, "\n")[p.Line-1]
	if !strings.Contains(line, "{{.Ticket.Nope}}") {
		t.Errorf("it is reported at line %d: %s", p.Line, line)
	}
}

// The template's file is read with the configuration, and a change of it is one.
func TestBodyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, body := filepath.Join(dir, "tandem.yaml"), filepath.Join(dir, "body.txt")
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path, withNotice(t, server, "{email: true, bodyFile: body.txt}"))
	write(body, "\ufeffone {{.Ticket.Title}}\n")
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Connectors[0].Notice; n.Body != "one {{.Ticket.Title}}\n" || n.BodyFile != body {
		t.Errorf("%+v", n)
	}
	changed := make(chan *config.Config, 10)
	done := make(chan error, 1)
	go func() {
		done <- config.Watch(t.Context(), path, func(c *config.Config, _ error) { changed <- c }, config.From(c))
	}()
	// The watch may begin after the first write.
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(30 * time.Second)
	for n := 0; ; n++ {
		select {
		case next := <-changed:
			if next == nil || !strings.HasPrefix(next.Connectors[0].Notice.Body, "two") {
				t.Fatalf("%+v", next)
			}
			return
		case <-ticker.C:
			write(body, "two"+strings.Repeat(" ", n%5)+"\n")
		case err := <-done:
			t.Fatal(err)
		case <-timeout:
			t.Fatal("no change was told")
		}
	}
}

// The address of a webhook is checked as far as it can be, and never shown.
func TestCheckLooksAtTheWebhook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, hook := filepath.Join(dir, "tandem.yaml"), filepath.Join(dir, "webhook")
	if err := os.WriteFile(path, []byte(withNotice(t, "", "{teams: {file: webhook}}")), 0o600); err != nil {
		t.Fatal(err)
	}
	for address, fine := range map[string]bool{
		"https://prod-1.westeurope.logic.azure.com:443/workflows/1?sig=topsecret": true, "http://127.0.0.1:8090/teams?sig=topsecret": true,
		"http://prod-1.logic.azure.com/?sig=topsecret": false, "topsecret": false,
	} {
		if err := os.WriteFile(hook, []byte(address), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if !config.Check(&out, path, false) || strings.Contains(out.String(), "topsecret") || strings.Contains(out.String(), "notice.teams") == fine {
			t.Errorf("%s: %s", address, out.String())
		}
	}
}
