// Package mail is a stand-in mail server: it takes mails over SMTP with STARTTLS and AUTH, keeps them, and can be made to
// refuse, hang or break off.
//
// The invariant: a mail is kept if and only if the server has decided to take it, before its answer; so a mail whose
// answer is lost is kept, as it is in earnest.
//
// Faults are asked of the sandbox's set with the method SMTP and a path for each step: /mail/connect, /mail/auth,
// /mail/sender, /mail/recipient, /mail/data. `status` answers with that SMTP code, `unavailable` and `throttle` answer 451
// (connect: hang up), `cut` hangs up, `lost-reply` keeps the mail and hangs up before the answer, `pass` only delays.
package mail

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
)

const (
	// maxMail is the largest mail that is taken, and maxKept how many are kept.
	maxMail = 4 << 20
	maxKept = 10_000
)

// Mail is one mail as it was taken.
type Mail struct {
	// At is when it was taken.
	At time.Time `json:"at"`
	// From and To are those of the envelope.
	From string `json:"from"`
	To   string `json:"to"`
	// MessageID is without angle brackets, Subject decoded.
	MessageID string `json:"messageId"`
	Subject   string `json:"subject"`
	// Text and HTML are the two forms of the body, decoded.
	Text string `json:"text"`
	HTML string `json:"html"`
	// Header holds the header's fields as they came.
	Header map[string][]string `json:"header"`
	// TLS and User tell how it was handed in.
	TLS  bool   `json:"tls"`
	User string `json:"user"`
}

// Options configures a [Server].
type Options struct {
	// User and Password are demanded over TLS; empty: anybody may send.
	User, Password string
	// Plain leaves STARTTLS out.
	Plain bool
	// Implicit begins with TLS.
	Implicit bool
	// Faults breaks steps; nil: none does.
	Faults *fault.Set
}

// Server is a mail server that keeps what it takes. Its methods may be called by several goroutines.
type Server struct {
	o      Options
	server *smtp.Server
	cert   []byte
	addr   string
	ended  chan struct{}
	ctx    context.Context //nolint:containedctx // ends the delays of faults when the server is closed
	cancel context.CancelFunc

	mu    sync.Mutex
	mails []Mail
	seen  int
}

// Start listens on an address, such as "127.0.0.1:0", with a certificate of its own.
func Start(ctx context.Context, address string, o Options) (*Server, error) {
	certificate, pemText, err := certify()
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, cert: pemText, ended: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("listening for mail: %w", err)
	}
	s.addr = listener.Addr().String()
	if o.Implicit {
		listener = tls.NewListener(listener, config)
	}
	s.server = smtp.NewServer(smtp.BackendFunc(s.session))
	s.server.Domain, s.server.MaxMessageBytes, s.server.MaxRecipients = "mail.sandbox", maxMail, 10
	s.server.ReadTimeout, s.server.WriteTimeout = time.Minute, time.Minute
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	if !o.Plain && !o.Implicit {
		s.server.TLSConfig = config
	}
	go func() {
		defer close(s.ended)
		_ = s.server.Serve(listener) // it ends with Close
	}()
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.addr }

// Certificate is the server's certificate as PEM, for a caller to trust.
func (s *Server) Certificate() []byte { return s.cert }

// Mails are the mails that were taken, the oldest first.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Connections is how many connections there have been.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// Clear forgets all mails.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = nil
}

// Close stops the server and hangs up.
func (s *Server) Close() error {
	s.cancel()
	err := s.server.Close()
	<-s.ended
	if err != nil && !errors.Is(err, smtp.ErrServerClosed) {
		return fmt.Errorf("closing mail: %w", err)
	}
	return nil
}

// session is one connection.
type session struct {
	s        *Server
	conn     *smtp.Conn
	user     string
	from, to string
}

func (s *Server) session(c *smtp.Conn) (smtp.Session, error) {
	s.mu.Lock()
	s.seen++
	s.mu.Unlock()
	one := &session{s: s, conn: c}
	return one, one.fault("/mail/connect")
}

// fault plays the fault of a step; nil: the step goes on.
func (one *session) fault(step string) error {
	if one.s.o.Faults == nil {
		return nil
	}
	rule, hit := one.s.o.Faults.Act(one.s.ctx, "SMTP", step)
	if !hit {
		return nil
	}
	switch rule.Kind {
	case fault.KindStatus:
		return &smtp.SMTPError{Code: rule.Status, EnhancedCode: smtp.EnhancedCode{rule.Status / 100, 1, 1}, Message: "planted for <" + one.to + ">"}
	case fault.KindUnavailable, fault.KindThrottle:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "planted for <" + one.to + ">"}
	case fault.KindCut, fault.KindLostReply:
		_ = one.conn.Conn().Close()
		return smtp.ErrServerClosed
	case fault.KindPass, fault.KindSignIn:
		return nil
	default:
		return nil
	}
}

// AuthMechanisms implements smtp.AuthSession.
func (one *session) AuthMechanisms() []string {
	if one.s.o.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

// Auth implements smtp.AuthSession.
func (one *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if err := one.fault("/mail/auth"); err != nil {
			return err
		}
		if user != one.s.o.User || password != one.s.o.Password {
			return smtp.ErrAuthFailed
		}
		one.user = user
		return nil
	}), nil
}

// Mail implements smtp.Session.
func (one *session) Mail(from string, _ *smtp.MailOptions) error {
	if one.s.o.User != "" && one.user == "" {
		return smtp.ErrAuthRequired
	}
	one.from = from
	return one.fault("/mail/sender")
}

// Rcpt implements smtp.Session.
func (one *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	one.to = to
	return one.fault("/mail/recipient")
}

// Data implements smtp.Session.
func (one *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxMail))
	if err != nil {
		return err
	}
	m, err := read(raw)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	_, m.TLS = one.conn.TLSConnectionState()
	m.At, m.From, m.To, m.User = time.Now(), one.from, one.to, one.user //nolint:forbidigo // when it came is what is told
	var rule fault.Rule
	hit := false
	if one.s.o.Faults != nil {
		rule, hit = one.s.o.Faults.Act(one.s.ctx, "SMTP", "/mail/data")
	}
	if hit && (rule.Kind == fault.KindStatus || rule.Kind == fault.KindUnavailable || rule.Kind == fault.KindThrottle) {
		code := 451
		if rule.Kind == fault.KindStatus {
			code = rule.Status
		}
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 7, 1}, Message: "planted"}
	}
	if hit && rule.Kind == fault.KindCut {
		_ = one.conn.Conn().Close()
		return smtp.ErrServerClosed
	}
	one.s.keep(m)
	if hit && rule.Kind == fault.KindLostReply {
		_ = one.conn.Conn().Close()
	}
	return nil
}

func (s *Server) keep(m Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mails) >= maxKept {
		s.mails = s.mails[1:]
	}
	s.mails = append(s.mails, m)
}

// Reset implements smtp.Session.
func (one *session) Reset() { one.from, one.to = "", "" }

// Logout implements smtp.Session.
func (one *session) Logout() error { return nil }

// read takes a mail apart.
func read(raw []byte) (Mail, error) {
	message, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Mail{}, fmt.Errorf("reading mail: %w", err)
	}
	m := Mail{Header: message.Header, MessageID: strings.Trim(message.Header.Get("Message-Id"), "<> ")}
	decoder := mime.WordDecoder{}
	if m.Subject, err = decoder.DecodeHeader(message.Header.Get("Subject")); err != nil {
		return Mail{}, fmt.Errorf("reading subject: %w", err)
	}
	media, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return Mail{}, fmt.Errorf("reading type: %w", err)
	}
	if !strings.HasPrefix(media, "multipart/") {
		return m, m.part(media, message.Header.Get("Content-Transfer-Encoding"), message.Body)
	}
	parts := multipart.NewReader(message.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return Mail{}, fmt.Errorf("reading parts: %w", err)
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			return Mail{}, fmt.Errorf("reading part: %w", err)
		}
		if err := m.part(kind, part.Header.Get("Content-Transfer-Encoding"), part); err != nil {
			return Mail{}, err
		}
	}
}

func (m *Mail) part(media, encoding string, body io.Reader) error {
	if strings.EqualFold(encoding, "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("reading part: %w", err)
	}
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	if media == "text/html" {
		m.HTML = text
	} else {
		m.Text = text
	}
	return nil
}

// certify makes a certificate for this machine.
func certify() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("making a key: %w", err)
	}
	now := time.Now() //nolint:forbidigo // a certificate has a time
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "mail.sandbox"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(10 * 365 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "mail.sandbox"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("making a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
