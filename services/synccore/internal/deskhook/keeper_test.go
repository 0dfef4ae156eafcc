package deskhook_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/alvao"
	faults "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/deskhook"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// world is a stand-in Alvao with faults before it, a Redis, and what an administrator
// sets.
type world struct {
	desk    *sandbox.Server
	faults  *faults.Set
	client  *alvao.Client
	origins *origin.Origins
	leases  *lease.Leases

	mu      sync.Mutex
	now     time.Time
	address string
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func setup(t *testing.T, tenant sandbox.Tenant, change ...func(*sandbox.Options)) *world {
	t.Helper()
	store := redistest.Embedded(t)
	w := &world{
		faults: faults.NewSet(1), origins: origin.New(store), leases: lease.New(store),
		now: time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC), address: deskhook.Address("https://tandem.example", "development", "token-1"),
	}
	options := sandbox.Options{Tenant: tenant, Now: w.clock}
	for _, f := range change {
		f(&options)
	}
	var err error
	if w.desk, err = sandbox.New(options); err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(w.faults.Middleware(w.desk))
	transport, err := outbound.Transport("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.faults.Clear()
		transport.CloseIdleConnections()
		listener.Close()
		w.desk.Close()
	})
	w.client, err = alvao.New(alvao.Options{
		BaseURL: listener.URL + "/AlvaoRestApi", Service: "Development", Username: "tandem", Base: transport,
		Password: func() (string, error) { return "tandem", nil }, PerSecond: 1e6, Burst: 1000, Timeout: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) keeper(change ...func(*deskhook.Keeper)) *deskhook.Keeper {
	k := &deskhook.Keeper{
		Connector: "development", Tenant: w.client.BaseURL(), Service: "Development", Statuses: []string{"Development", "Development pending", "Testing"},
		Desk: w.client, Notes: w.origins, Leases: w.leases, Turn: item.Key{Connector: "development", System: item.Alvao, ID: -2}, Now: w.clock,
		Address: func() (string, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.address, nil },
	}
	for _, f := range change {
		f(k)
	}
	return k
}

// told checks a report.
func told(t *testing.T, r deskhook.Report, severity item.Severity, failed bool, words ...string) {
	t.Helper()
	text := r.Finding.Detail + " " + r.Finding.Remedy
	if r.Finding.Severity != severity || r.Failed != failed || r.Finding.Check != "alvao.webhooks" || strings.Contains(text, "token-") {
		t.Errorf("%+v", r)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q", text, word)
		}
	}
}

// statuses are what the webhooks at the stand-in tell of.
func (w *world) statuses(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, h := range w.desk.Webhooks() {
		if h.Service != "Development" || !strings.HasPrefix(h.URL, "https://tandem.example/hooks/alvao/development/token-") {
			t.Errorf("%+v", h)
		}
		all = append(all, h.Status)
	}
	slices.Sort(all)
	return all
}

func (w *world) wants(t *testing.T, want ...string) {
	t.Helper()
	if got := w.statuses(t); !slices.Equal(got, want) {
		t.Errorf("webhooks for %q, want %q", got, want)
	}
}

func ids(hooks []sandbox.Webhook) []int {
	var all []int
	for _, h := range hooks {
		all = append(all, h.ID)
	}
	return all
}

// TestMadeOnceAndRenewed: the webhooks are made at the first look and left in peace, until
// they are replaced after a day and after a restart; there is never a moment without.
func TestMadeOnceAndRenewed(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	k := w.keeper()
	told(t, k.Look(t.Context()), item.Warning, false, "no webhook", "next look")
	told(t, k.Once(t.Context()), item.OK, false, "3 webhooks")
	w.wants(t, "Development", "Development pending", "Testing")
	first := ids(w.desk.Webhooks())
	for range 5 {
		w.pass(time.Hour)
		if r := k.Once(t.Context()); len(r.Done) != 0 || r.Missed {
			t.Errorf("%+v", r)
		}
	}
	if !slices.Equal(first, ids(w.desk.Webhooks())) {
		t.Error("they were made again")
	}
	// Another process, just started.
	again := w.keeper()
	if r := again.Once(t.Context()); len(r.Done) != 3 || r.Missed {
		t.Errorf("%+v", r)
	}
	w.wants(t, "Development", "Development pending", "Testing")
	w.pass(25 * time.Hour)
	if r := again.Once(t.Context()); len(r.Done) != 3 || r.Missed {
		t.Errorf("%+v", r)
	}
	told(t, k.Look(t.Context()), item.OK, false, "3 webhooks")
	w.wants(t, "Development", "Development pending", "Testing")
}

// TestGoneIsMadeAgain: one that somebody removed is noticed when it is replaced, and that
// changes may have been missed is told.
func TestGoneIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	k := w.keeper()
	k.Once(t.Context())
	w.desk.Unsubscribe(w.desk.Webhooks()[1].ID)
	w.pass(25 * time.Hour)
	if r := k.Once(t.Context()); !r.Missed || len(r.Done) != 3 {
		t.Errorf("%+v", r)
	}
	w.wants(t, "Development", "Development pending", "Testing")
}

// TestRotation: with another token all are replaced at once; of another's none is touched.
func TestRotation(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	theirs, err := w.desk.Subscribe(sandbox.Subscription{
		URL: "https://elsewhere.example/hook", Topic: sandbox.TopicStatus, Process: w.desk.Services()[0].Process, Status: "Testing",
	})
	if err != nil {
		t.Fatal(err)
	}
	k := w.keeper()
	k.Once(t.Context())
	w.mu.Lock()
	w.address = deskhook.Address("https://tandem.example", "development", "token-2")
	w.mu.Unlock()
	if r := k.Once(t.Context()); len(r.Done) != 3 {
		t.Errorf("%+v", r)
	}
	for _, h := range w.desk.Webhooks() {
		if h.ID != theirs && !strings.HasSuffix(h.URL, "/token-2") {
			t.Errorf("%+v", h)
		}
	}
	if n := len(w.desk.Webhooks()); n != 4 {
		t.Errorf("%d webhooks", n)
	}
	if err := k.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ids(w.desk.Webhooks()); !slices.Equal(got, []int{theirs}) {
		t.Errorf("left are %v", got)
	}
	if err := k.Retire(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestOtherSettings: what the StatusMap does not name any more goes.
func TestOtherSettings(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	w.keeper().Once(t.Context())
	fewer := w.keeper(func(k *deskhook.Keeper) { k.Statuses = []string{"Testing", "New"} })
	fewer.Once(t.Context())
	w.wants(t, "New", "Testing")
}

// TestNoProcessIsKnown: one webhook for the field does where no process is known; where
// that is not offered either, a person is told.
func TestNoProcessIsKnown(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{NoServices: true, Language: "cs"})
	k := w.keeper()
	told(t, k.Once(t.Context()), item.OK, false, "One webhook")
	hooks := w.desk.Webhooks()
	if len(hooks) != 1 || hooks[0].FieldID != sandbox.StatusColumn {
		t.Fatalf("%+v", hooks)
	}
	// Once there is a ticket its process is known.
	if _, err := w.desk.CreateTicket(t.Context(), sandbox.Requester, sandbox.NewTicket{Name: "x", Service: "Development"}); err != nil {
		t.Fatal(err)
	}
	k = w.keeper(func(k *deskhook.Keeper) { k.Statuses = []string{"Vývoj", "Testování"} })
	told(t, k.Once(t.Context()), item.OK, false, "2 webhooks")
	w.wants(t, "Development", "Testing")

	none := setup(t, sandbox.Tenant{NoServices: true, NoStatusColumn: true})
	told(t, none.keeper().Once(t.Context()), item.Warning, false, "No ticket of service Development tells its process")
}

// TestRefusals: a status that Alvao does not know is told and not asked for at every look;
// a right that is missing, too; a tenant without webhooks is nobody's failure.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	k := w.keeper(func(k *deskhook.Keeper) { k.Statuses = []string{"Testing", "Tseting"} })
	told(t, k.Once(t.Context()), item.Warning, true, `Alvao takes no webhook for "Tseting"`, "Compare the spelling")
	told(t, k.Look(t.Context()), item.Warning, true, `"Tseting"`)
	calls := w.desk.Calls()["POST /webhooks/tickettransitionstostatus 400"]
	for range 3 {
		w.pass(5 * time.Minute)
		k.Once(t.Context())
	}
	if n := w.desk.Calls()["POST /webhooks/tickettransitionstostatus 400"]; n != calls {
		t.Errorf("asked %d times", n)
	}
	w.wants(t, "Testing")

	none := setup(t, sandbox.Tenant{NoWebhooks: true})
	k = none.keeper()
	for _, r := range []deskhook.Report{k.Once(t.Context()), k.Look(t.Context())} {
		told(t, r, item.Warning, false, "offers no webhooks", "found by polls")
	}
}

// TestAddressStaysSecret: a refusal that repeats the address, as ASP.NET's validation does,
// is told without its token.
func TestAddressStaysSecret(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	if _, err := w.faults.Add(faults.Rule{
		Method: "POST", Path: "/AlvaoRestApi/webhooks/**", Kind: faults.KindStatus, Status: http.StatusBadRequest,
		Body: `{"title": "Invalid.", "errors": {"webhookUrl": ["The value 'https://tandem.example/hooks/alvao/development/token-1' is not valid."]}}`,
	}); err != nil {
		t.Fatal(err)
	}
	k := w.keeper()
	told(t, k.Once(t.Context()), item.Warning, true, "The value 'https://tandem.example/hooks/alvao/development/")
	note, err := w.origins.Note(t.Context(), "development", "desk-hooks")
	if err != nil || strings.Contains(note, "token-1") {
		t.Errorf("noted is %s, %v", note, err)
	}
}

// TestRefusedReplacement: where Alvao takes no new one, the one before it stays, but it is
// told that it may be of no use, and the new one is asked for again within the hour.
func TestRefusedReplacement(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	k := w.keeper()
	k.Once(t.Context())
	first := ids(w.desk.Webhooks())
	w.mu.Lock()
	w.address = deskhook.Address("https://tandem.example", "development", "token-2")
	w.mu.Unlock()
	if _, err := w.faults.Add(faults.Rule{Method: "POST", Path: "/AlvaoRestApi/webhooks/**", Kind: faults.KindStatus, Status: http.StatusForbidden}); err != nil {
		t.Fatal(err)
	}
	r := k.Once(t.Context())
	told(t, r, item.Warning, true, "Alvao takes no webhook for", "give the account the right")
	if len(r.Done) != 0 || !slices.Equal(first, ids(w.desk.Webhooks())) {
		t.Errorf("%+v, %v", r, w.desk.Webhooks())
	}
	told(t, k.Look(t.Context()), item.Warning, true, "Alvao takes no webhook for")
	w.faults.Clear()
	w.pass(time.Hour)
	if r := k.Once(t.Context()); len(r.Done) != 3 {
		t.Errorf("%+v", r)
	}
	told(t, k.Look(t.Context()), item.OK, false, "3 webhooks")
	for _, h := range w.desk.Webhooks() {
		if !strings.HasSuffix(h.URL, "/token-2") {
			t.Errorf("%+v", h)
		}
	}
	if n := len(w.desk.Webhooks()); n != 3 {
		t.Errorf("%d webhooks", n)
	}
}

// TestCutOff: a process that dies between asking for a webhook and noting it leaves one
// whose number nobody knows; the next one makes its own and says that there may be more.
func TestCutOff(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	failing := &cutNotes{Notes: w.origins, left: 2}
	k := w.keeper(func(k *deskhook.Keeper) { k.Notes = failing })
	told(t, k.Once(t.Context()), item.Warning, true, "can't be looked after at present")
	if n := len(w.desk.Webhooks()); n != 2 {
		t.Fatalf("%d webhooks", n)
	}
	k = w.keeper()
	told(t, k.Once(t.Context()), item.Warning, false, "3 webhooks", "1 more", "/hooks/alvao/development")
	if n := len(w.desk.Webhooks()); n != 4 {
		t.Errorf("%d webhooks", n)
	}
	if err := k.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(w.desk.Webhooks()); n != 1 {
		t.Errorf("%d webhooks", n)
	}
}

// TestStraysAreForgotten: once a person has removed all that lead here, no more are told of
// that may be there; a few that are gone are no reason.
func TestStraysAreForgotten(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	k := w.keeper(func(k *deskhook.Keeper) { k.Notes = &cutNotes{Notes: w.origins, left: 2} })
	k.Once(t.Context())
	k = w.keeper()
	told(t, k.Once(t.Context()), item.Warning, false, "1 more")
	w.desk.Unsubscribe(w.desk.Webhooks()[3].ID)
	w.pass(25 * time.Hour)
	told(t, k.Once(t.Context()), item.Warning, false, "1 more")
	for _, h := range w.desk.Webhooks() {
		w.desk.Unsubscribe(h.ID)
	}
	w.pass(25 * time.Hour)
	told(t, k.Once(t.Context()), item.OK, false, "3 webhooks")
	w.wants(t, "Development", "Development pending", "Testing")
}

// TestRefusedRemoval: one whose removal is refused is told of and removed once Alvao lets
// Tandem.
func TestRefusedRemoval(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	k := w.keeper()
	k.Once(t.Context())
	if _, err := w.faults.Add(faults.Rule{Method: "DELETE", Path: "/AlvaoRestApi/**", Kind: faults.KindStatus, Status: http.StatusForbidden}); err != nil {
		t.Fatal(err)
	}
	w.pass(25 * time.Hour)
	told(t, k.Once(t.Context()), item.Warning, false, "3 more of this connector that Tandem can't remove")
	w.faults.Clear()
	w.pass(25 * time.Hour)
	told(t, k.Once(t.Context()), item.OK, false, "3 webhooks")
	w.wants(t, "Development", "Development pending", "Testing")
}

// cutNotes lets some notes through and then none: the first note of a webhook is that it
// is asked for, the second its number.
type cutNotes struct {
	deskhook.Notes

	left int
}

var errCut = errors.New("cut off")

func (c *cutNotes) SetNote(ctx context.Context, connector, name, text string) error {
	if strings.Contains(text, `"begun"`) || c.left > 1 {
		if !strings.Contains(text, `"begun"`) {
			c.left--
		}
		return c.Notes.SetNote(ctx, connector, name, text)
	}
	return errCut
}

// TestOneTurn: of two replicas one does it.
func TestOneTurn(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	var all sync.WaitGroup
	for range 4 {
		k := w.keeper()
		all.Go(func() { k.Once(t.Context()) })
	}
	all.Wait()
	w.wants(t, "Development", "Development pending", "Testing")
}

// TestAnotherTenant: numbers of a tenant that the connector left mean nothing at the next
// one.
func TestAnotherTenant(t *testing.T) {
	t.Parallel()
	w := setup(t, sandbox.Tenant{})
	w.keeper().Once(t.Context())
	removed := func() int { return w.desk.Calls()["DELETE /webhooks/{id} 204"] }
	other := w.keeper(func(k *deskhook.Keeper) { k.Tenant = "https://other.example/AlvaoRestApi" })
	other.Once(t.Context())
	if n := removed(); n != 0 {
		t.Errorf("%d webhooks were removed by numbers of another tenant", n)
	}
}
