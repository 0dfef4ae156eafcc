// Package mail sends e-mail over SMTP (RFC 5321).
//
// Its one invariant: neither a credential nor a letter crosses an unencrypted
// connection unless TLS was switched off by name, a credential not even then; and no
// error holds an address or a word of a letter.
package mail

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// TLS is how a connection is encrypted.
type TLS string

// The ways to encrypt a connection.
const (
	// StartTLS begins in the clear and must be encrypted before anything else (RFC 3207).
	StartTLS TLS = "starttls"
	// Implicit is encrypted from the first byte (RFC 8314).
	Implicit TLS = "implicit"
	// None is not encrypted, for a relay on the same host or network.
	None TLS = "none"
)

// Options say which server is used, and how. All fields but User, Password, CAFile and
// Timeout are required.
type Options struct {
	Host string
	Port int
	TLS  TLS
	// From is the sender, in the form of RFC 5322: an address, or a name and an address.
	From string
	// User and Password are given to the server; empty and nil: none are. Password is asked
	// for each connection.
	User     string
	Password func() (string, error)
	// CAFile is a PEM file of authorities to trust beside the system's.
	CAFile string
	// Timeout bounds sending one mail, from connecting to its end; 0 means 30 s.
	Timeout time.Duration
	Now     func() time.Time
}

// Mail is one letter to one person.
type Mail struct {
	// To is an address as a directory has it; it may be none.
	To      string
	Subject string
	// Text and HTML say the same.
	Text, HTML string
	// ID makes the Message-ID and Thread ties mails together; letters, digits, dots and
	// dashes. A mail that is sent again has the same ID, so that it is known as the same.
	ID, Thread string
}

// Sender sends mails. It is safe for concurrent use.
type Sender struct {
	o      Options
	from   *mail.Address
	domain string
	tls    *tls.Config

	mu sync.Mutex
	// until is how long nobody calls, because the server could not be reached.
	until time.Time
	why   string
	// refused is the digest of the password that the server did not take.
	refused [sha256.Size]byte
}

// The times for which a server that could not be used is left alone.
const (
	restAway    = 5 * time.Second
	restRefused = 5 * time.Minute
)

// New makes a Sender. It connects to nothing.
func New(o Options) (*Sender, error) {
	from, err := mail.ParseAddress(o.From)
	if err != nil {
		return nil, fmt.Errorf("reading the sender's address: %w", err)
	}
	if o.TLS == None && o.User != "" {
		return nil, errors.New("credentials are not sent to a mail server without TLS")
	}
	pool, err := outbound.Authorities(o.CAFile)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	return &Sender{
		o: o, from: from, domain: domain,
		tls: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.Host, RootCAs: pool},
	}, nil
}

// Send sends one mail. When it fails, the mail may have been sent all the same, unless the
// error is an outbound.ErrUnsent or the fault is of one of these kinds:
//
//	Refused        the recipient or the mail is not taken, now or later
//	Misconfigured  the sender is not taken
//	BadToken       the server does not take the credentials
//	Throttled      the server is left alone for a while
func (s *Sender) Send(ctx context.Context, m Mail) error {
	letter, err := s.letter(m)
	if err != nil {
		return err
	}
	secret, err := s.admit()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	line, err := s.dial(ctx, secret)
	if err != nil {
		return s.heard(ctx, err, secret)
	}
	defer line.close()
	err = line.SendWithSMTPClient(line.smtp, letter)
	if err == nil || letter.IsDelivered() {
		// What goes wrong behind the server's yes is of no matter.
		return nil
	}
	return s.judge(err)
}

// Check connects and signs in, and sends nothing.
func (s *Sender) Check(ctx context.Context) item.Finding {
	const check = "notice.mail"
	secret, err := s.password()
	if err == nil {
		bound, cancel := context.WithTimeout(ctx, s.o.Timeout)
		defer cancel()
		var line *line
		if line, err = s.dial(bound, secret); err == nil {
			line.close()
			how := "over TLS"
			if s.o.TLS == None {
				how = "without TLS"
			}
			return item.Finding{Check: check, Severity: item.OK, Detail: fmt.Sprintf("The mail server %s answers %s and takes the credentials.", s.o.Host, how)}
		}
		err = s.refusal(err)
	}
	return item.Finding{
		Check: check, Severity: item.Error, Detail: fault.Sentence(err),
		Remedy: "Compare mail.server, mail.tls, mail.user and the password with what the mail server's administrator says.",
	}
}

// letter makes the message. Every header is encoded by the library and made of one line
// by the caller.
func (s *Sender) letter(m Mail) (*gomail.Msg, error) {
	to, err := mail.ParseAddress(strings.TrimSpace(m.To))
	// A directory's field may hold anything: a name, a list, a comment.
	if err != nil || to.Name != "" || strings.ContainsAny(m.To, "<>(),;\r\n") {
		return nil, fault.New(fault.Refused, "The solver's e-mail address in Alvao is not an address; correct it there.")
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(s.from)
	msg.ToMailAddress(to)
	msg.Subject(strings.Join(strings.Fields(m.Subject), " "))
	msg.SetDateWithValue(s.o.Now())
	msg.SetMessageIDWithValue(m.ID + "@" + s.domain)
	if m.Thread != "" {
		thread := "<" + m.Thread + "@" + s.domain + ">"
		msg.SetGenHeader(gomail.HeaderInReplyTo, thread)
		msg.SetGenHeader(gomail.HeaderReferences, thread)
	}
	// Nobody's absence note is to answer (RFC 3834; the second is Exchange's).
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	return msg, nil
}

func (s *Sender) password() (string, error) {
	if s.o.User == "" || s.o.Password == nil {
		return "", nil
	}
	secret, err := s.o.Password()
	if err != nil {
		return "", fault.Wrap(err, fault.Unavailable, "The password of the mail server can't be read; make its file or variable readable.")
	}
	return secret, nil
}

// admit gives the password, unless the server is to be left alone. A new password is
// tried at once.
func (s *Sender) admit() (string, error) {
	secret, err := s.password()
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.until.Sub(s.o.Now())
	renewed := s.refused != [sha256.Size]byte{} && s.refused != sha256.Sum256([]byte(secret))
	if left <= 0 || renewed {
		return secret, nil
	}
	return "", fault.New(fault.Throttled, "%s", s.why).After(left)
}

// heard takes what a failed connection says about the server.
func (s *Sender) heard(ctx context.Context, err error, secret string) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("connecting to the mail server: %w", cause)
	}
	err = s.refusal(err)
	if !fault.Is(err, fault.BadToken) {
		s.rest(fault.Sentence(err), restAway)
		return err
	}
	s.rest(fault.Sentence(err), restRefused)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = sha256.Sum256([]byte(secret))
	return err
}

// rest leaves the server alone for a while.
func (s *Sender) rest(why string, span time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why, s.until, s.refused = why, s.o.Now().Add(span), [sha256.Size]byte{}
}

// line is one connection.
type line struct {
	*gomail.Client

	smtp  *smtp.Client
	close func()
}

func (s *Sender) dial(ctx context.Context, secret string) (*line, error) {
	end := func() {}
	dial := func(dialing context.Context, network, address string) (net.Conn, error) {
		var conn net.Conn
		var err error
		if s.o.TLS == Implicit {
			conn, err = (&tls.Dialer{Config: s.tls}).DialContext(dialing, network, address)
		} else {
			conn, err = (&net.Dialer{}).DialContext(dialing, network, address)
		}
		if err == nil {
			// The library heeds the context only until here, and leaves connections open.
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			end = func() {
				stop()
				_ = conn.Close()
			}
		}
		return conn, err
	}
	options := []gomail.Option{
		gomail.WithPort(s.o.Port), gomail.WithTimeout(s.o.Timeout), gomail.WithTLSConfig(s.tls),
		gomail.WithDialContextFunc(dial), gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	switch s.o.TLS {
	case Implicit:
		options = append(options, gomail.WithSSL())
	case None:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	case StartTLS:
		fallthrough
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.o.User != "" {
		options = append(options, gomail.WithUsername(s.o.User), gomail.WithPassword(secret), gomail.WithOpportunisticSMTPAuth(
			gomail.SMTPAuthSCRAMSHA256PLUS, gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	client, err := gomail.NewClient(s.o.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("preparing the connection to the mail server: %w", err)
	}
	talk, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		end()
		return nil, err
	}
	return &line{Client: client, smtp: talk, close: func() {
		const goodbye = 2 * time.Second
		if talk.UpdateDeadline(goodbye) == nil {
			_ = talk.Quit() // the server may have hung up
		}
		end()
	}}, nil
}

// refusal words why a connection failed.
func (s *Sender) refusal(err error) error {
	at := net.JoinHostPort(s.o.Host, strconv.Itoa(s.o.Port))
	const denied, required, weak = 535, 530, 534
	switch code := codeOf(err); {
	case code == denied || code == required || code == weak:
		return fault.New(fault.BadToken, "The mail server %s refuses the user name or password (%d); put the right ones into the configuration.", at, code)
	case code != 0:
		return fault.Wrap(outbound.ErrUnsent, fault.Unavailable, "The mail server %s answers %d before a mail could be sent; it is tried again.", at, code)
	case isTLS(err):
		return fault.Wrap(unsent(err), fault.Unavailable, "The connection to the mail server %s can't be encrypted; mend its certificate, or set mail.tls or mail.caFile.", at)
	case fault.KindOf(err) != fault.Internal:
		return err
	default:
		return fault.Wrap(unsent(err), fault.Unavailable, "The mail server %s can't be used; it is tried again.", at)
	}
}

func unsent(err error) error { return fmt.Errorf("%w: %w", outbound.ErrUnsent, err) }

func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	return errors.As(err, &record) || errors.As(err, &verify) || strings.Contains(err.Error(), "STARTTLS") || strings.Contains(err.Error(), "tls: ")
}

// judge words why a mail was not taken, without what the server says: it may repeat the
// address.
func (s *Sender) judge(err error) error {
	at := net.JoinHostPort(s.o.Host, strconv.Itoa(s.o.Port))
	var failure *gomail.SendError
	const permanent = 500
	if !errors.As(err, &failure) || failure.ErrorCode() == 0 {
		// It hung up or went silent: the next would fare no better.
		err := fault.New(fault.Unavailable, "The mail server %s broke off while it was given a mail; it is tried again.", at)
		s.rest(err.Text, restAway)
		return err
	}
	if failure.ErrorCode() < permanent {
		return fault.Wrap(outbound.ErrUnsent, fault.Unavailable, "The mail server %s does not take a mail at present%s; it is tried again.", at, told(failure.ErrorCode()))
	}
	switch failure.Reason {
	case gomail.ErrSMTPRcptTo:
		return fault.New(fault.Refused, "The mail server %s refuses the solver's e-mail address%s; correct it in Alvao.", at, told(failure.ErrorCode()))
	case gomail.ErrSMTPMailFrom:
		return fault.New(fault.Misconfigured, "The mail server %s refuses the sender in mail.from%s; correct it, then replay the event.", at, told(failure.ErrorCode()))
	default:
		return fault.New(fault.Refused, "The mail server %s refuses the mail%s; ask its administrator why.", at, told(failure.ErrorCode()))
	}
}

func told(code int) string {
	if code == 0 {
		return ""
	}
	return " (" + strconv.Itoa(code) + ")"
}

// codeOf is the code of an SMTP answer; 0: there was none.
func codeOf(err error) int {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return answer.Code
	}
	return 0
}
