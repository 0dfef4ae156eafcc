package convergetest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing/synctest"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/mail"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
)

const (
	name      = "development"
	service   = "Development"
	project   = "Alvaoproject"
	elsewhere = "Archive"

	// The people: a developer works in Azure DevOps, a tester meddles there.
	developer = "jana.dvorakova@contoso.com"
	tester    = "petr.svoboda@contoso.com"
	tandem    = "tandem@contoso.com"

	// maxFile is the largest file that crosses.
	maxFile = 1 << 20

	resyncEvery = 10 * time.Minute
	pollEvery   = 2 * time.Minute
)

// shape is how the systems and the connector of a world are set up.
type shape struct {
	agile       bool
	conflict    mapping.Conflict
	format      item.TextFormat
	sinceLinked bool
	reveal      bool
	existing    mapping.ExistingTickets
	application bool
	// workers is how many items are served at once. With several, what happens at one
	// moment may happen in another order in another play.
	workers int
	// two tells that there is a second replica.
	two    bool
	tenant standalvao.Tenant
	late   bool // Azure DevOps renders revisions late
	// lose, double and delay are what happens to webhooks, in hundredths.
	lose, double, delay uint64
}

func shapeOf(seed uint64) shape {
	r := rand.New(rand.NewPCG(seed, 7))
	one := func(n int) bool { return r.IntN(n) == 0 }
	s := shape{
		agile: one(3), conflict: []mapping.Conflict{mapping.ConflictNewest, mapping.ConflictAlvao, mapping.ConflictAzureDevOps}[r.IntN(3)],
		format: item.HTML, sinceLinked: one(6), reveal: one(2), existing: mapping.ExistingIgnore, application: !one(4), workers: 1,
		tenant: standalvao.Tenant{
			StringIDs: one(4), Nulls: one(4), NoOffsets: one(4), ListCustomItems: one(2), RelativeLinks: one(4), NoActivityFilter: one(4),
		},
		late: one(2),
	}
	if one(4) {
		s.workers = 3
	}
	s.two = roll(seed, "two", 0)%4 == 0
	if one(3) {
		s.format = item.Markdown
	}
	if one(3) {
		s.existing = mapping.ExistingLink
	}
	if !one(4) {
		s.lose, s.double, s.delay = r.Uint64N(60), r.Uint64N(40), r.Uint64N(60)
	}
	return s
}

// mute tells that no message can cross: the log is shown neither over REST nor by the
// application.
func (s shape) mute() bool { return s.tenant.LogUnreadable && !s.application }

// pairs is the StatusMap, by default names.
func (s shape) pairs() []item.Pair {
	if s.agile {
		return []item.Pair{
			{State: "New", Status: "Development"},
			{State: "Active", Status: "Development pending"},
			{State: "Resolved", Status: "Testing"},
			{State: "Closed", Status: "Testing"},
		}
	}
	return []item.Pair{{State: "To Do", Status: "Development"}, {State: "Doing", Status: "Development pending"}, {State: "Done", Status: "Testing"}}
}

func (s shape) kinds() []string {
	if s.agile {
		return []string{"Bug", "Task", "User Story"}
	}
	return []string{"Task", "Issue", "Epic"}
}

func (s shape) states() []string {
	if s.agile {
		return []string{"New", "Active", "Resolved", "Closed"}
	}
	return []string{"To Do", "Doing", "Done"}
}

// world is everything that there is in a history.
type world struct {
	seed     uint64
	shape    shape
	desk     *standalvao.Server
	boards   *standazure.Server
	vendors  http.Handler
	redis    memory
	settings config.Connector
	// believed is the StatusMap by default names, in which the stand-in is asked.
	believed mapping.StatusMap
	weather  *weather
	logger   *slog.Logger

	// The observer looks at what is stored, without being part of it.
	observer *datastore.Store
	links    *link.Links
	origins  *origin.Origins
	queue    *inbox.Inbox

	// created counts the work items that were made, by ticket.
	creating sync.Mutex
	created  map[int]int

	// scripts are the names of the stores' scripts, endings when the next processes die,
	// lives what those that have ended did, deaths how many died.
	scripts map[string]string
	endings []*ending
	lives   [][]string
	deaths  int
	// solved tells that tickets have a solver who is told of comments by mail.
	solved bool

	// ticked is up to when keys have expired, and hourly when the application tells all
	// records again.
	ticked, hourly time.Time

	mu      sync.Mutex
	process *process
	// second is another replica; nil: there is none.
	second *process
	// pause is before which step a process is stopped; paused is the one that was, and late
	// what Redis said to the commands that it sent when it woke.
	pause  *ending
	paused *process
	late   []string
	// strike answers a call in a system's stead, or gives nil; nil: it answers none.
	strike func(*http.Request) *http.Response
	// mails are those that arrived.
	mails []mail.Mail
	calm  bool
}

func (w *world) alive() *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.process
}

// isCalm tells that webhooks arrive as they should.
func (w *world) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

// newWorld makes a world with a Redis in its memory. It must be called in a bubble.
func newWorld(ctx context.Context, seed uint64, shape shape, logger *slog.Logger) (*world, error) {
	return newWorldOver(ctx, seed, shape, logger, inMemory)
}

// newWorldOver makes a world over any Redis. It must be called in a bubble.
func newWorldOver(ctx context.Context, seed uint64, shape shape, logger *slog.Logger, redis func() memory) (*world, error) {
	// The bubble's time begins in 2000, before anybody in the directory was born.
	time.Sleep(time.Until(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))) //nolint:forbidigo // virtual time
	w := &world{seed: seed, shape: shape, logger: logger, redis: redis(), calm: true, created: map[int]int{}}
	w.ticked = time.Now()
	w.hourly = w.ticked.Add(time.Duration(roll(seed, "hourly", 0)%3600) * time.Second)
	var err error
	if w.scripts, err = readScripts(); err != nil {
		return nil, err
	}
	w.weather = &weather{seed: seed, seen: map[string]uint64{}}

	process := standazure.Basic()
	if w.shape.agile {
		process = standazure.Agile()
	}
	w.boards = standazure.New(standazure.Options{
		BaseURL: vendors + "/azuredevops", Projects: []standazure.Project{{Name: project, Process: process}, {Name: elsewhere, Process: process}},
		Quirks: standazure.Quirks{LateRevision: w.shape.late},
		Hooks: standazure.Hooks{
			Client: &http.Client{Transport: wire(w.receive)}, Parallel: 1, Delay: time.Second, Intercept: w.fate,
		},
	})
	w.desk, err = standalvao.New(standalvao.Options{
		BaseURL: vendors, Tenant: w.shape.tenant, Seed: seed, HookWorkers: 1, Client: &http.Client{Transport: wire(w.receive)},
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/azuredevops/", http.StripPrefix("/azuredevops", w.boards))
	mux.Handle("/AlvaoRestApi/", w.desk)
	w.vendors = mux
	if err := w.subscribe(); err != nil {
		return nil, err
	}
	if w.observer, err = datastore.Open(ctx, w.redis.address()); err != nil {
		return nil, err
	}
	w.links, w.origins = link.New(w.observer), origin.New(w.observer)
	if w.queue, err = inbox.New(w.observer, inbox.Options{}); err != nil {
		return nil, err
	}
	return w, w.configure()
}

func (w *world) subscribe() error {
	projectID := w.boards.AddProject(standazure.Project{Name: project})
	for _, event := range []string{"workitem.created", "workitem.updated", "workitem.commented", "workitem.deleted", "workitem.restored"} {
		if _, err := w.boards.As("administrator@contoso.com").Subscribe(event, map[string]string{"projectId": projectID}, map[string]string{
			"url": edge + "/hooks/azure-devops", "resourceDetailsToSend": "all", "messagesToSend": "none", "detailedMessagesToSend": "none",
		}); err != nil {
			return err
		}
	}
	for _, status := range w.desk.Statuses(service) {
		if w.shape.tenant.NoWebhooks {
			break
		}
		if _, err := w.desk.Subscribe(standalvao.Subscription{
			URL: edge + "/hooks/alvao", Topic: standalvao.TopicStatus, Process: w.desk.Services()[0].Process, Service: service, Status: status.Name,
		}); err != nil {
			return err
		}
	}
	if w.shape.application {
		w.desk.SetApplication(&standalvao.Application{
			URL: edge + "/hooks/alvao", Key: "key", Skip: []string{standalvao.ApplicationAccount}, Bodies: w.shape.tenant.LogUnreadable,
		})
	}
	return nil
}

// fate is what becomes of a service hook.
func (w *world) fate(n standazure.Notification) standazure.Fate {
	if w.isCalm() {
		return standazure.Fate{}
	}
	key := fmt.Sprintf("%s %d %d", n.EventType, n.Item, n.Rev)
	fate := standazure.Fate{Drop: roll(w.seed, key, 1)%100 < w.shape.lose}
	if roll(w.seed, key, 2)%100 < w.shape.double {
		fate.Copies = 1
	}
	if chance := roll(w.seed, key, 3); chance%100 < w.shape.delay {
		fate.Delay = time.Duration(chance/100%90) * time.Second
	}
	return fate
}

func (w *world) configure() error {
	w.settings = config.Connector{
		Name:  name,
		Alvao: config.Alvao{URL: vendors + "/AlvaoRestApi", Service: service, Location: time.UTC},
		Settings: mapping.Settings{
			ConnectorType: "AzureDevOps", URL: vendors + "/azuredevops/contoso/" + project, AccessToken: "0",
			AttributeMap: []mapping.AttributeText{
				{Field: "System.Title", Value: "[$TicketTitle$]"},
				{Field: "System.Description", Value: "[$LatestImportantMessage$]"},
				{Field: "System.WorkItemType", Value: w.shape.kinds()[0]},
			},
			StatusMap: w.shape.pairs(), TicketReporter: "Requester", SyncCommunication: true,
		},
		PollInterval: pollEvery, Brake: brake.Settings{Share: 0.2, AtLeast: 25}, Redact: config.Redact{Shipped: true},
		Messages: config.Messages{SinceLinked: w.shape.sinceLinked, ShowToRequester: w.shape.reveal, Format: w.shape.format, MaxFile: maxFile},
	}
	english, problems := mapping.Compile(w.settings.Settings, mapping.Policy{})
	if len(problems) > 0 {
		return fmt.Errorf("settings: %v", problems)
	}
	w.believed = english.Statuses
	for i := range w.settings.Settings.StatusMap {
		status := &w.settings.Settings.StatusMap[i].Status
		*status = w.local(*status)
	}
	rules, problems := mapping.Compile(w.settings.Settings, mapping.Policy{Conflict: w.shape.conflict, ExistingTickets: w.shape.existing})
	if len(problems) > 0 {
		return fmt.Errorf("settings: %v", problems)
	}
	w.settings.Rules = rules
	return nil
}

// local is a status as Alvao tells it.
func (w *world) local(status string) string {
	for _, one := range w.desk.Statuses(service) {
		if name := one.Names[w.shape.tenant.Language]; one.Name == status && name != "" {
			return name
		}
	}
	return status
}

// calmly ends all misfortune, or lets it come again.
func (w *world) calmly(calm bool, rough uint64) {
	w.mu.Lock()
	w.calm = calm
	w.mu.Unlock()
	if calm {
		w.strikeWith(nil)
		w.weather.set(0)
		w.desk.SetDelivery(standalvao.Delivery{})
		return
	}
	w.weather.set(rough)
	w.desk.SetDelivery(standalvao.Delivery{
		Lose: float64(w.shape.lose) / 100, Duplicate: float64(w.shape.double) / 100, MaxDelay: time.Duration(w.shape.delay) * time.Second,
	})
}

// revive starts a process if there is none.
func (w *world) revive(ctx context.Context) error {
	if w.alive() != nil || w.redis.away() {
		return nil
	}
	p, err := w.start(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.process = p
	w.mu.Unlock()
	return nil
}

// accompany starts a second replica, if there is to be one.
func (w *world) accompany(ctx context.Context) error {
	if !w.shape.two || w.second != nil {
		return nil
	}
	var err error
	w.second, err = w.start(ctx)
	return err
}

// bury lets go of a process.
func (w *world) bury() error {
	w.mu.Lock()
	p := w.process
	w.process = nil
	w.mu.Unlock()
	if p == nil {
		return nil
	}
	dead := p.isDead()
	err := p.finish()
	w.lives = append(w.lives, p.taken())
	if dead {
		w.deaths++
	}
	return err
}

// pass lets time pass, in steps after each of which the worker looks into the inbox.
func (w *world) pass(d, step time.Duration) error {
	for d > 0 {
		now := min(d, step)
		d -= now
		time.Sleep(now) //nolint:forbidigo // virtual time
		if err := errors.Join(w.tick(), w.pump()); err != nil {
			return err
		}
	}
	return nil
}

// tick lets keys expire, up to the present time.
func (w *world) tick() error {
	now := time.Now()
	err := w.redis.pass(now.Sub(w.ticked))
	w.ticked = now
	if !now.Before(w.hourly) {
		w.desk.RunApplication()
		w.hourly = w.hourly.Add(time.Hour)
	}
	return err
}

// pump lets the worker serve what is ready.
func (w *world) pump() error {
	synctest.Wait()
	p := w.alive()
	for _, one := range []*process{p, w.second} {
		if one == nil || !w.redis.ready(w.observer) {
			continue
		}
		select {
		case one.turn.look <- struct{}{}:
			synctest.Wait()
		default:
			// It has its hands full.
		}
	}
	if p != nil && p.isDead() {
		return w.bury()
	}
	return nil
}

func (w *world) close() error {
	w.calmly(true, 0)
	err := w.bury()
	if w.second != nil {
		err = errors.Join(err, w.second.finish())
	}
	_ = w.queue.Close()
	w.desk.Close()
	_ = w.boards.Close()
	_ = w.observer.Close()
	w.redis.close()
	return err
}
