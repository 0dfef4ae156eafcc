package subscription_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	faults "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/hookkey"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/subscription"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const (
	connector = "development"
	tandem    = "tandem@contoso.com"
	jana      = "jana.dvorakova@contoso.com"
	hooksPath = "/azuredevops/contoso/_apis/hooks/**"
)

func eventTypes() []string {
	return []string{"workitem.created", "workitem.updated", "workitem.commented", "workitem.deleted", "workitem.restored"}
}

// world is a stand-in with faults before it, a Redis, and what an administrator sets.
type world struct {
	boards  *sandbox.Server
	faults  *faults.Set
	project string
	origins *origin.Origins
	leases  *lease.Leases
	client  *azuredevops.Client

	mu       sync.Mutex
	now      time.Time
	public   string
	password string
	token    string
}

func setup(t *testing.T) *world {
	t.Helper()
	store := redistest.Embedded(t)
	w := &world{
		faults: faults.NewSet(1), origins: origin.New(store), leases: lease.New(store),
		now: time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC), public: "https://tandem.example", password: key(1), token: "all",
	}
	w.boards = sandbox.New(sandbox.Options{
		Users: []sandbox.User{{UniqueName: tandem}, {UniqueName: jana}}, Now: w.clock,
		Tokens: []sandbox.Token{
			{Secret: "all", Owner: tandem, Rights: sandbox.AllRights}, {Secret: "manual", Owner: tandem, Rights: sandbox.WorkItems},
		},
	})
	listener := httptest.NewServer(w.faults.Middleware(http.StripPrefix("/azuredevops", w.boards)))
	w.boards.SetBaseURL(listener.URL + "/azuredevops")
	transport, err := outbound.Transport("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.faults.Clear()
		transport.CloseIdleConnections()
		listener.Close()
		if err := w.boards.Close(); err != nil {
			t.Error(err)
		}
	})
	w.client, err = azuredevops.New(azuredevops.Options{
		ProjectURL: listener.URL + "/azuredevops/contoso/Alvaoproject", Base: transport,
		Credential: azuredevops.PAT(func() (string, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.token, nil }),
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.client.Project(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.project = p.ID
	return w
}

func key(n int) string {
	return hookkey.AzureDevOpsPassword(fmt.Sprintf("%040d", n))
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// set changes what an administrator sets, or the time.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) pass(d time.Duration) { w.set(func() { w.now = w.now.Add(d) }) }

func (w *world) address() string { return subscription.Address(w.public, connector) }

// keeper is that of a process that was just started.
func (w *world) keeper() *subscription.Keeper {
	return &subscription.Keeper{
		Connector: connector, Address: w.address(), ProjectURL: "https://dev.azure.com/contoso/Alvaoproject", DeskHost: "contoso.onalvao.com",
		Boards: w.client, Notes: w.origins, Leases: w.leases, Turn: item.Key{Connector: connector, System: item.AzureDevOps, ID: -2}, Now: w.clock,
		Password: func() (string, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.password, nil },
	}
}

func (w *world) once(t *testing.T) subscription.Report {
	t.Helper()
	r := w.keeper().Once(t.Context())
	w.proper(t, r)
	return r
}

// proper checks what every report must be.
func (w *world) proper(t *testing.T, r subscription.Report) {
	t.Helper()
	if len(r.Findings) == 0 {
		t.Error("nothing is found")
	}
	for _, f := range r.Findings {
		if f.Check != "azure-devops.hooks" || !strings.HasSuffix(f.Detail, ".") || (f.Remedy == "") != (f.Severity == item.OK) || strings.Contains(f.Detail+f.Remedy, "%!") {
			t.Errorf("finding %+v", f)
		}
		for n := range 9 {
			if strings.Contains(fmt.Sprint(r), key(n)) {
				t.Error("a password is told")
			}
		}
	}
}

// byHand subscribes as a person does; change may alter the inputs.
func (w *world) byHand(t *testing.T, event, address string, change ...func(publisher, consumer map[string]string)) string {
	t.Helper()
	publisher := map[string]string{"projectId": w.project}
	consumer := map[string]string{
		"url": address, "basicAuthUsername": "tandem", "basicAuthPassword": "typed-in-by-hand",
		"resourceDetailsToSend": "all", "messagesToSend": "none", "detailedMessagesToSend": "none",
	}
	for _, f := range change {
		f(publisher, consumer)
	}
	id, err := w.boards.As(jana).Subscribe(event, publisher, consumer)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (w *world) status(t *testing.T, id, status string) {
	t.Helper()
	if err := w.boards.SetSubscriptionStatus(id, status); err != nil {
		t.Fatal(err)
	}
}

func (w *world) forget(t *testing.T) {
	t.Helper()
	if err := w.origins.SetNote(t.Context(), connector, "hooks", ""); err != nil {
		t.Fatal(err)
	}
}

func (w *world) disturb(t *testing.T, rule faults.Rule) {
	t.Helper()
	if _, err := w.faults.Add(rule); err != nil {
		t.Fatal(err)
	}
}

// at lists the subscriptions at an address.
func (w *world) at(address string) []sandbox.Subscription {
	return slices.DeleteFunc(w.boards.Subscriptions(), func(s sandbox.Subscription) bool { return s.URL != address })
}

// of is the one subscription for an event at the present address.
func (w *world) of(t *testing.T, event string) sandbox.Subscription {
	t.Helper()
	found := slices.DeleteFunc(w.at(w.address()), func(s sandbox.Subscription) bool { return s.EventType != event })
	if len(found) != 1 {
		t.Fatalf("%d subscriptions for %s: %+v", len(found), event, found)
	}
	return found[0]
}

// right tells what is wrong with a subscription of ours; empty: nothing.
func (w *world) right(s sandbox.Subscription) string {
	password, err := w.boards.SubscriptionPassword(s.ID)
	switch {
	case err != nil:
		return err.Error()
	case s.Status != "enabled":
		return "it is " + s.Status
	case s.URL != w.address():
		return "it leads to " + s.URL
	case password != w.password:
		return "it has another password"
	case s.PublisherInputs["projectId"] != w.project:
		return "it is of another project"
	case s.PublisherInputs["areaPath"]+s.PublisherInputs["workItemType"]+s.PublisherInputs["changedFields"]+s.PublisherInputs["tag"] != "":
		return "it has a filter"
	case s.ConsumerInputs["resourceDetailsToSend"] != "all" || s.ConsumerInputs["messagesToSend"] != "none" || s.ConsumerInputs["detailedMessagesToSend"] != "none":
		return "it sends something else"
	case s.ConsumerInputs["basicAuthUsername"] != "tandem":
		return "it has another user"
	default:
		return ""
	}
}

// exact checks that exactly the desired set stands at the present address.
func (w *world) exact(t *testing.T) {
	t.Helper()
	present := w.at(w.address())
	for _, event := range eventTypes() {
		if why := w.right(w.of(t, event)); why != "" {
			t.Errorf("%s: %s", event, why)
		}
	}
	if len(present) != len(eventTypes()) {
		t.Errorf("there are %d", len(present))
	}
}
