package config

import (
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/letter"
	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

// Mail is a mail server and how it is used.
type Mail struct {
	// Host and Port are where it listens.
	Host string
	Port int
	// TLS is starttls, implicit or none.
	TLS string
	// From is the sender, as in "Tandem <tandem@contoso.com>".
	From string
	// User and Password are what it asks for; empty: nothing. Never set without TLS.
	User     string
	Password secret.Ref
	// CAFile is a PEM file of certificate authorities to trust beside the system's.
	CAFile string
}

// Notice says how a ticket's solver is told of comments. The zero value: not at all.
type Notice struct {
	// Email tells by e-mail, by the server in Mail.
	Email bool
	Mail  Mail
	// Teams is where the address of a Teams webhook is; the zero value: none.
	Teams secret.Ref
	// Subject and Body are the template; empty: the usual one.
	Subject, Body string
	// BodyFile is the file that Body was read from; empty: it stands in the configuration.
	BodyFile string
}

// Wanted tells whether anybody is told at all.
func (n Notice) Wanted() bool { return n.Email || !n.Teams.IsZero() }

// The words for how a connection to a mail server is encrypted, with the usual ports.
const (
	startTLS, startTLSPort       = "starttls", 587
	implicitTLS, implicitTLSPort = "implicit", 465
	noTLS, noTLSPort             = "none", 25
)

func mailWords() []string { return []string{startTLS, implicitTLS, noTLS} }

func (r *reader) mail(v value) Mail {
	if v.absent() {
		return Mail{}
	}
	o, ok := r.object(v, mailKeys())
	if !ok {
		return Mail{}
	}
	m := Mail{TLS: r.choice(o.get("tls"), mailWords(), startTLS), CAFile: r.path(o.get("caFile"))}
	m.Host, m.Port = r.mailServer(o, m.TLS)
	const example = "Write from: Tandem <tandem@contoso.com>"
	if m.From, ok = r.needed(o, "from", example); ok {
		if _, err := mail.ParseAddress(m.From); err != nil || strings.ContainsAny(m.From, "\r\n") {
			r.report(o.get("from"), fmt.Sprintf("%q is not an e-mail address", m.From), example)
		}
	}
	if at := o.get("user"); !at.absent() {
		m.User, _ = r.filled(at)
	}
	if at := o.get("password"); !at.absent() {
		m.Password, _ = r.ref(at)
	}
	switch user, password := o.get("user"), o.get("password"); {
	case user.absent() && !password.absent():
		r.missing(o, "user", "Write the account that the password belongs to, or remove the password")
	case !user.absent() && password.absent():
		r.missing(o, "password", "Write {file: /path/of/the/password} or {env: NAME}, or remove the user")
	case !user.absent() && m.TLS == noTLS:
		r.report(user, "credentials are not sent without TLS", "Write tls: starttls or tls: implicit, or remove user and password")
	}
	return m
}

// mailServer reads host or host:port.
func (r *reader) mailServer(mail object, tls string) (string, int) {
	const remedy = "Write the server's name, with a port if it is not the usual one, as in smtp.contoso.com:587"
	text, ok := r.needed(mail, "server", remedy)
	if !ok {
		return "", 0
	}
	at := mail.get("server")
	port := map[string]int{startTLS: startTLSPort, implicitTLS: implicitTLSPort, noTLS: noTLSPort}[tls]
	host := text
	if name, number, err := net.SplitHostPort(text); err == nil && !strings.Contains(text, "/") {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			r.report(at, fmt.Sprintf("%q is not a port", number), remedy)
			return "", 0
		}
		host, port = name, int(n)
	}
	if host == "" || strings.ContainsAny(host, "/@ \t") || (strings.Contains(host, ":") && net.ParseIP(strings.Trim(host, "[]")) == nil) {
		r.report(at, fmt.Sprintf("%q is not the name of a server", text), remedy)
		return "", 0
	}
	return strings.Trim(host, "[]"), port
}

func (r *reader) notice(connector object, syncs bool) Notice {
	v := connector.get("notice")
	if v.absent() {
		return Notice{}
	}
	o, ok := r.object(v, noticeKeys())
	if !ok {
		return Notice{}
	}
	n := Notice{Email: r.flag(o.get("email"), false)}
	if at := o.get("teams"); !at.absent() {
		n.Teams, _ = r.ref(at)
	}
	if !n.Email && o.get("teams").absent() {
		r.report(v, "it names no way to tell anybody", "Add email: true or teams: {file: /path/of/the/webhook}, or remove the key")
	}
	if !syncs {
		r.warn(v, "SyncCommunication is off, so that no comment ever lands in a ticket", "Set SyncCommunication to true in settings, or remove the key")
	}
	if at := o.get("subject"); !at.absent() {
		n.Subject, _ = r.filled(at)
	}
	subject, body, file := o.get("subject"), o.get("body"), o.get("bodyFile")
	switch {
	case !body.absent() && !file.absent():
		r.report(file, "there is a body beside it", "Keep one of body and bodyFile")
	case !body.absent():
		n.Body, _ = r.text(body)
		if n.Body == "" && body.node.Tag == "!!str" {
			r.report(body, "it is empty", "Give it a text, or remove the key for the usual one")
		}
	case !file.absent():
		n.BodyFile = r.path(file)
		n.Body = r.template(file, n.BodyFile)
	}
	_, problems := letter.Parse(n.Subject, n.Body)
	for _, problem := range problems {
		at := subject
		if problem.Part == letter.Body {
			at = body
			if !file.absent() {
				at = file
			}
		}
		r.letter(at, problem, n.BodyFile)
	}
	return n
}

// template reads a template's file.
func (r *reader) template(at value, path string) string {
	if path == "" {
		return ""
	}
	content, err := readCapped(path)
	if err != nil {
		r.report(at, reasonOf(err), "Give a file that the service may read")
		return ""
	}
	if strings.TrimSpace(string(content)) == "" {
		r.report(at, "the file is empty", "Write the template into it, or remove the key for the usual one")
		return ""
	}
	return strings.TrimPrefix(string(content), "\ufeff")
}

// letter reports what is wrong with a template, at its own line.
func (r *reader) letter(at value, wrong *letter.Error, file string) {
	if wrong.Part == letter.Body && file != "" {
		r.report(at, fmt.Sprintf("line %d of %s: %s", wrong.Line, file, wrong.Text), wrong.Remedy)
		return
	}
	if at.absent() || at.node.Kind != yaml.ScalarNode {
		return
	}
	problem := Problem{File: r.file, Path: strings.TrimPrefix(at.path, "."), Text: wrong.Text, Remedy: wrong.Remedy}
	inner := newDocument([]byte(at.node.Value), &at)
	if wrong.Line == 1 && at.node.Style&yaml.LiteralStyle == 0 {
		r.problems = append(r.problems, problem.at(at.doc.locate(at.node, 0)))
		return
	}
	r.problems = append(r.problems, problem.at(inner.place(wrong.Line, 1)))
}

// useMail gives the connectors that tell by e-mail the server, and reports where there is
// none.
func (r *reader) useMail(root object, mail Mail, connectors []Connector, places []value) {
	used := false
	for i := range connectors {
		if !connectors[i].Notice.Email {
			continue
		}
		used = true
		connectors[i].Notice.Mail = mail
		if root.get("mail").absent() {
			at := places[i]
			at.path += ".notice.email"
			r.report(at, "there is no mail server", "Add mail: {server: smtp.contoso.com:587, from: …} to the file")
		}
	}
	if !used && !root.get("mail").absent() {
		r.warn(root.get("mail"), "no connector tells by e-mail", "Add notice: {email: true} to a connector, or remove the key")
	}
}

func mailNode(m Mail) *yaml.Node {
	node := objectNode("server", net.JoinHostPort(m.Host, strconv.Itoa(m.Port)), "tls", m.TLS, "from", m.From, "user", given(m.User))
	if !m.Password.IsZero() {
		add(node, "password", refNode(m.Password))
	}
	add(node, "caFile", given(m.CAFile))
	return node
}

func noticeNode(n Notice) *yaml.Node {
	node := objectNode("email", n.Email)
	if !n.Teams.IsZero() {
		add(node, "teams", refNode(n.Teams))
	}
	add(node, "subject", given(n.Subject))
	if n.BodyFile != "" {
		add(node, "bodyFile", n.BodyFile)
	} else {
		add(node, "body", given(n.Body))
	}
	return node
}
