package mail_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/textproto"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const raw = "From: a@b.cz\r\nTo: c@d.cz\r\nSubject: =?utf-8?q?Tisk=C3=A1rna?=\r\nMessage-ID: <x.1@b.cz>\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=BB\r\n\r\n" +
	"--BB\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nHo=C5=99=C3=AD\r\n" +
	"--BB\r\nContent-Type: text/html; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>Ho=C5=99=C3=AD</p>\r\n--BB--\r\n"

func start(t *testing.T, faults *fault.Set) *mail.Server {
	t.Helper()
	s, err := mail.Start(t.Context(), "127.0.0.1:0", mail.Options{User: "u", Password: "p", Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func send(s *mail.Server, password string) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.Certificate())
	c, err := smtp.DialStartTLS(s.Addr(), &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if password != "" {
		if err := c.Auth(sasl.NewPlainClient("", "u", password)); err != nil {
			return err
		}
	}
	return c.SendMail("a@b.cz", []string{"c@d.cz"}, strings.NewReader(raw))
}

func TestTakesMail(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	if err := send(s, "p"); err != nil {
		t.Fatal(err)
	}
	got := s.Mails()
	if len(got) != 1 || got[0].Subject != "Tiskárna" || got[0].Text != "Hoří" || got[0].HTML != "<p>Hoří</p>" || got[0].MessageID != "x.1@b.cz" ||
		got[0].To != "c@d.cz" || !got[0].TLS || got[0].User != "u" {
		t.Errorf("%+v", got)
	}
	for _, password := range []string{"", "wrong"} {
		if err := send(s, password); err == nil {
			t.Errorf("a mail with the password %q was taken", password)
		}
	}
	// Before TLS there is nobody to sign in, and without that nobody may send.
	c, err := smtp.Dial(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Auth(sasl.NewPlainClient("", "u", "p")); err == nil {
		t.Error("a password was taken without TLS")
	}
	s.Clear()
	if len(s.Mails()) != 0 {
		t.Error("mails are left")
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rule fault.Rule
		code int
		kept int
	}{
		"greeting":    {fault.Rule{Path: "/mail/connect", Kind: fault.KindStatus, Status: 554}, 554, 0},
		"auth":        {fault.Rule{Path: "/mail/auth", Kind: fault.KindStatus, Status: 535}, 535, 0},
		"sender":      {fault.Rule{Path: "/mail/sender", Kind: fault.KindUnavailable}, 451, 0},
		"recipient":   {fault.Rule{Path: "/mail/recipient", Kind: fault.KindStatus, Status: 550}, 550, 0},
		"data":        {fault.Rule{Path: "/mail/data", Kind: fault.KindStatus, Status: 554}, 554, 0},
		"cut":         {fault.Rule{Path: "/mail/data", Kind: fault.KindCut}, 0, 0},
		"lost answer": {fault.Rule{Path: "/mail/data", Kind: fault.KindLostReply}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faults := fault.NewSet(1)
			if _, err := faults.Add(tc.rule); err != nil {
				t.Fatal(err)
			}
			s := start(t, faults)
			err := send(s, "p")
			code := 0
			if answer, ok := errors.AsType[*smtp.SMTPError](err); ok {
				code = answer.Code
			} else if text, ok := errors.AsType[*textproto.Error](err); ok {
				code = text.Code
			}
			if err == nil || code != tc.code || len(s.Mails()) != tc.kept {
				t.Errorf("%v (%d), %d mails", err, code, len(s.Mails()))
			}
			if faults.Rules()[0].Hits != 1 {
				t.Errorf("%d hits", faults.Rules()[0].Hits)
			}
		})
	}
}
