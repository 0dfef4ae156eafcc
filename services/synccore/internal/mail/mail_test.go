package mail_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	sandboxfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	standmail "github.com/tandem-sync/tandem/services/sandbox/mail"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mail"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const to = "petr.svoboda@contoso.com"

func letter() mail.Mail {
	return mail.Mail{
		To: to, Subject: "Tiskárna hoří & <b>", Text: "Příliš žluťoučký kůň\n.\nkonec\n", HTML: "<p>Příliš</p>",
		ID: "tandem.development.1.2.3", Thread: "tandem.development.1",
	}
}

type world struct {
	server *standmail.Server
	faults *sandboxfault.Set
	ca     string
	// ahead is how much later than the machine's the clock is.
	ahead atomic.Int64
}

func start(t *testing.T, o standmail.Options) *world {
	t.Helper()
	w := &world{faults: sandboxfault.NewSet(1), ca: filepath.Join(t.TempDir(), "ca.pem")}
	o.Faults = w.faults
	server, err := standmail.Start(t.Context(), "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	w.server = server
	t.Cleanup(func() {
		w.faults.Clear()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(w.ca, server.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) sender(t *testing.T, change ...func(*mail.Options)) *mail.Sender {
	t.Helper()
	host, text, err := net.SplitHostPort(w.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	o := mail.Options{
		Host: host, Port: port, TLS: mail.StartTLS, From: "Tandem <tandem@contoso.com>", User: "tandem",
		Password: func() (string, error) { return "secret", nil }, CAFile: w.ca, Timeout: 10 * time.Second,
		Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
	}
	for _, f := range change {
		f(&o)
	}
	sender, err := mail.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

var account = standmail.Options{User: "tandem", Password: "secret"}

func TestSend(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		server standmail.Options
		change func(*mail.Options)
		tls    bool
	}{
		"starttls": {account, func(*mail.Options) {}, true},
		"implicit": {standmail.Options{User: "tandem", Password: "secret", Implicit: true}, func(o *mail.Options) { o.TLS = mail.Implicit }, true},
		"none": {standmail.Options{Plain: true}, func(o *mail.Options) {
			o.TLS, o.User, o.Password = mail.None, "", nil
		}, false},
		"no account": {standmail.Options{}, func(o *mail.Options) { o.User, o.Password = "", nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, tc.server)
			if err := w.sender(t, tc.change).Send(t.Context(), letter()); err != nil {
				t.Fatal(err)
			}
			got := w.server.Mails()
			if len(got) != 1 {
				t.Fatalf("%d mails", len(got))
			}
			m := got[0]
			if m.To != to || m.From != "tandem@contoso.com" || m.TLS != tc.tls || m.Subject != letter().Subject ||
				strings.TrimSpace(m.Text) != strings.TrimSpace(letter().Text) || strings.TrimSpace(m.HTML) != letter().HTML ||
				m.MessageID != "tandem.development.1.2.3@contoso.com" {
				t.Errorf("%+v", m)
			}
			for field, want := range map[string]string{
				"In-Reply-To": "<tandem.development.1@contoso.com>", "References": "<tandem.development.1@contoso.com>",
				"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All",
			} {
				if values := m.Header[field]; len(values) != 1 || values[0] != want {
					t.Errorf("%s: %q", field, values)
				}
			}
		})
	}
}

// Without the encryption that was asked for nothing is said: no letter, no credential.
func TestNothingWithoutTLS(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		server standmail.Options
		change func(*world, *mail.Options)
	}{
		"the server offers none":       {standmail.Options{User: "tandem", Password: "secret", Plain: true}, func(*world, *mail.Options) {}},
		"the server speaks none":       {standmail.Options{Plain: true}, func(_ *world, o *mail.Options) { o.TLS = mail.Implicit }},
		"an unknown authority":         {account, func(_ *world, o *mail.Options) { o.CAFile = "" }},
		"an unknown authority at once": {standmail.Options{User: "tandem", Password: "secret", Implicit: true}, func(_ *world, o *mail.Options) { o.TLS, o.CAFile = mail.Implicit, "" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, tc.server)
			err := w.sender(t, func(o *mail.Options) { tc.change(w, o); o.Timeout = 2 * time.Second }).Send(t.Context(), letter())
			if !fault.Is(err, fault.Unavailable) || len(w.server.Mails()) != 0 {
				t.Errorf("%v, %d mails", err, len(w.server.Mails()))
			}
			if !strings.Contains(fault.Sentence(err), "encrypted") && name != "the server speaks none" {
				t.Errorf("it says %q", fault.Sentence(err))
			}
		})
	}
	if _, err := mail.New(mail.Options{TLS: mail.None, From: "a@b.cz", User: "tandem"}); err == nil {
		t.Error("credentials without TLS were taken")
	}
}

// Each refusal has the kind that says what to do, and tells no address.
func TestRefusals(t *testing.T) {
	t.Parallel()
	status := func(step string, code int) sandboxfault.Rule {
		return sandboxfault.Rule{Method: "SMTP", Path: "/mail/" + step, Kind: sandboxfault.KindStatus, Status: code}
	}
	for name, tc := range map[string]struct {
		rule sandboxfault.Rule
		kind fault.Kind
		// unsent tells that the error says that nothing was sent.
		unsent bool
		mails  int
	}{
		"greeting":             {status("connect", 554), fault.Unavailable, true, 0},
		"credentials":          {status("auth", 535), fault.BadToken, false, 0},
		"credentials later":    {status("auth", 454), fault.Unavailable, true, 0},
		"sender":               {status("sender", 553), fault.Misconfigured, false, 0},
		"sender later":         {status("sender", 451), fault.Unavailable, true, 0},
		"recipient":            {status("recipient", 550), fault.Refused, false, 0},
		"recipient later":      {status("recipient", 450), fault.Unavailable, true, 0},
		"content":              {status("data", 554), fault.Refused, false, 0},
		"content later":        {status("data", 452), fault.Unavailable, true, 0},
		"hangs up at once":     {sandboxfault.Rule{Path: "/mail/connect", Kind: sandboxfault.KindCut}, fault.Unavailable, true, 0},
		"hangs up before data": {sandboxfault.Rule{Path: "/mail/recipient", Kind: sandboxfault.KindCut}, fault.Unavailable, false, 0},
		"cut after data":       {sandboxfault.Rule{Path: "/mail/data", Kind: sandboxfault.KindCut}, fault.Unavailable, false, 0},
		"answer lost":          {sandboxfault.Rule{Path: "/mail/data", Kind: sandboxfault.KindLostReply}, fault.Unavailable, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, account)
			if _, err := w.faults.Add(tc.rule); err != nil {
				t.Fatal(err)
			}
			sender := w.sender(t)
			err := sender.Send(t.Context(), letter())
			if !fault.Is(err, tc.kind) || isUnsent(err) != tc.unsent || len(w.server.Mails()) != tc.mails {
				t.Fatalf("kind %s, unsent %v, %d mails: %v", fault.KindOf(err), isUnsent(err), len(w.server.Mails()), err)
			}
			for _, secret := range []string{"petr", "secret", "Tiskárna", "planted"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells %q: %v", secret, err)
				}
			}
			w.faults.Clear()
			w.ahead.Store(int64(time.Hour))
			if err := sender.Send(t.Context(), letter()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func isUnsent(err error) bool {
	for _, one := range []error{outbound.ErrUnsent} {
		if f, ok := fault.As(err); ok && f.Err != nil && strings.Contains(f.Err.Error(), one.Error()) {
			return true
		}
	}
	return false
}

// A password that is refused is not tried again and again, but a new one is at once.
func TestRefusedPassword(t *testing.T) {
	t.Parallel()
	w := start(t, account)
	var mu sync.Mutex
	password := "wrong"
	sender := w.sender(t, func(o *mail.Options) {
		o.Password = func() (string, error) {
			mu.Lock()
			defer mu.Unlock()
			return password, nil
		}
	})
	if err := sender.Send(t.Context(), letter()); !fault.Is(err, fault.BadToken) || !strings.Contains(fault.Sentence(err), "535") {
		t.Fatalf("%v", err)
	}
	n := w.server.Connections()
	if err := sender.Send(t.Context(), letter()); !fault.Is(err, fault.Throttled) || w.server.Connections() != n {
		t.Errorf("%v after %d more connections", err, w.server.Connections()-n)
	}
	mu.Lock()
	password = "secret"
	mu.Unlock()
	if err := sender.Send(t.Context(), letter()); err != nil || len(w.server.Mails()) != 1 {
		t.Errorf("%v, %d mails", err, len(w.server.Mails()))
	}
}

// A server that says nothing holds nobody up for longer than the time-out, and a caller
// that stops not even that.
func TestHangs(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"connect", "auth", "sender", "recipient", "data"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := start(t, account)
			if _, err := w.faults.Add(sandboxfault.Rule{Path: "/mail/" + step, Delay: sandboxfault.Duration(10 * time.Minute)}); err != nil {
				t.Fatal(err)
			}
			if err := w.sender(t, func(o *mail.Options) { o.Timeout = 500 * time.Millisecond }).Send(t.Context(), letter()); !fault.Is(err, fault.Unavailable) {
				t.Errorf("%v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			if err := w.sender(t, func(o *mail.Options) { o.Timeout = 5 * time.Minute }).Send(ctx, letter()); err == nil {
				t.Error("it was sent")
			}
			if took := time.Since(began); took > 2*time.Minute {
				t.Errorf("it took %s to stop", took)
			}
		})
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	w := start(t, account)
	sender := w.sender(t, func(o *mail.Options) { o.Port = 1 })
	err := sender.Send(t.Context(), letter())
	if !fault.Is(err, fault.Unavailable) || !isUnsent(err) {
		t.Errorf("%v", err)
	}
	if f := sender.Check(t.Context()); f.Severity != item.Error || !strings.Contains(f.Detail, "127.0.0.1:1") {
		t.Errorf("%+v", f)
	}
}

// What is no address never reaches the server, and no field of a letter makes a header.
func TestInjection(t *testing.T) {
	t.Parallel()
	w := start(t, account)
	sender := w.sender(t)
	for _, bad := range []string{
		"", "nobody", "a@b.cz\r\nRCPT TO:<eve@evil.cz>", "Eve <eve@evil.cz>", "a@b.cz,eve@evil.cz", "a@b.cz;eve@evil.cz", "<a@b.cz>", "a@b.cz\n", "\"a\r\nb\"@c.cz",
	} {
		m := letter()
		m.To = bad
		err := sender.Send(t.Context(), m)
		if bad == "a@b.cz\n" && err == nil {
			continue // blanks around it are no harm
		}
		if !fault.Is(err, fault.Refused) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	m := letter()
	m.Subject = "x\r\nBcc: eve@evil.cz\r\n\r\nbody"
	if err := sender.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	all := w.server.Mails()
	got := all[len(all)-1]
	if len(got.Header["Bcc"]) != 0 || got.Subject != "x Bcc: eve@evil.cz body" || got.To != to {
		t.Errorf("%+v", got)
	}
}
