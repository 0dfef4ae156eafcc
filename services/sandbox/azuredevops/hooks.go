package azuredevops

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// masked is what confidential inputs read back as.
const masked = "********"

// maxNotifications is how many notifications of a subscription are kept.
const maxNotifications = 1000

// subscription is a service hook subscription. It is guarded by the engine's mutex.
type subscription struct {
	ID               string
	EventType        string
	ConsumerID       string
	ConsumerActionID string
	ResourceVersion  string
	Status           string
	PublisherInputs  map[string]string
	ConsumerInputs   map[string]string

	creator, modifier string // unique names
	created, modified time.Time
	lastNumber        int
	notifications     []*notificationRecord
	probationRetries  int
	lastProbation     time.Time
	removed           bool
}

func (s *subscription) active() bool {
	return s.Status == statusEnabled || s.Status == statusProbation
}

// notificationRecord is a notification as the notifications calls show it.
type notificationRecord struct {
	Notification
	created, modified time.Time
	attempts          int
	result            string
	last              Delivery
}

func (s *subscription) remember(n Notification, now time.Time) *notificationRecord {
	r := &notificationRecord{Notification: n, created: now, modified: now, result: "pending"}
	if len(s.notifications) >= maxNotifications {
		s.notifications = slices.Delete(s.notifications, 0, maxNotifications/2)
	}
	s.notifications = append(s.notifications, r)
	return r
}

func (r *notificationRecord) note(d Delivery, now time.Time) {
	if d.Attempt == 0 {
		r.result = "filtered"
		return
	}
	r.attempts, r.modified, r.last = r.attempts+1, now, d
	switch d.Result {
	case "delivered":
		r.result = "succeeded"
	case "failed", "terminal":
		r.result = "failed"
	}
}

// subscriptionJSON is a subscription, with the keys of the examples.
type subscriptionJSON struct {
	ID                string            `json:"id"`
	URL               string            `json:"url"`
	Status            string            `json:"status"`
	PublisherID       string            `json:"publisherId"`
	EventType         string            `json:"eventType"`
	ResourceVersion   string            `json:"resourceVersion"`
	EventDescription  string            `json:"eventDescription"`
	ConsumerID        string            `json:"consumerId"`
	ConsumerActionID  string            `json:"consumerActionId"`
	ActionDescription string            `json:"actionDescription"`
	ProbationRetries  int               `json:"probationRetries,omitempty"`
	LastProbation     string            `json:"lastProbationRetryDate,omitempty"`
	CreatedBy         any               `json:"createdBy"`
	CreatedDate       string            `json:"createdDate"`
	ModifiedBy        any               `json:"modifiedBy"`
	ModifiedDate      string            `json:"modifiedDate"`
	PublisherInputs   map[string]string `json:"publisherInputs"`
	ConsumerInputs    map[string]string `json:"consumerInputs"`
	Links             map[string]link   `json:"_links"`
}

// subscriptionBody is what a caller sends.
type subscriptionBody struct {
	ID               string            `json:"id"`
	Status           any               `json:"status"`
	PublisherID      string            `json:"publisherId"`
	EventType        string            `json:"eventType"`
	ResourceVersion  string            `json:"resourceVersion"`
	ConsumerID       string            `json:"consumerId"`
	ConsumerActionID string            `json:"consumerActionId"`
	PublisherInputs  map[string]string `json:"publisherInputs"`
	ConsumerInputs   map[string]string `json:"consumerInputs"`
}

// subscriptionJSON renders a subscription. Call it with both mutexes held.
func (s *Server) subscriptionJSON(sub *subscription) subscriptionJSON {
	root := s.here().root
	person := func(name string) any {
		if u, known := s.user(name); known {
			return s.here().person(u)
		}
		return nil
	}
	inputs := maps.Clone(sub.ConsumerInputs)
	if inputs["basicAuthPassword"] != "" {
		inputs["basicAuthPassword"] = masked
	}
	target := "To host"
	if u, err := url.Parse(inputs["url"]); err == nil {
		target += " " + u.Hostname()
	}
	out := subscriptionJSON{
		ID: sub.ID, URL: root + "/_apis/hooks/subscriptions/" + sub.ID, Status: sub.Status, PublisherID: "tfs", EventType: sub.EventType,
		ResourceVersion: sub.ResourceVersion, EventDescription: "Any work item", ConsumerID: sub.ConsumerID, ConsumerActionID: sub.ConsumerActionID,
		ActionDescription: target, ProbationRetries: sub.probationRetries, CreatedBy: person(sub.creator), CreatedDate: stamp(sub.created),
		ModifiedBy: person(sub.modifier), ModifiedDate: stamp(sub.modified), PublisherInputs: maps.Clone(sub.PublisherInputs), ConsumerInputs: inputs,
		Links: map[string]link{
			"self":          {root + "/_apis/hooks/subscriptions/" + sub.ID},
			"consumer":      {root + "/_apis/hooks/consumers/" + sub.ConsumerID},
			"notifications": {root + "/_apis/hooks/subscriptions/" + sub.ID + "/notifications"},
			"publisher":     {root + "/_apis/hooks/publishers/tfs"},
		},
	}
	if !sub.lastProbation.IsZero() {
		out.LastProbation = stamp(sub.lastProbation)
	}
	return out
}

// lockHooks takes both mutexes in their order and returns how to release them.
func (s *Server) lockHooks() func() {
	s.mu.RLock()
	s.hooks.mu.Lock()
	return func() {
		s.hooks.mu.Unlock()
		s.mu.RUnlock()
	}
}

func (s *Server) subscription(id string) (*subscription, error) {
	for _, sub := range s.hooks.subs {
		if strings.EqualFold(sub.ID, id) {
			return sub, nil
		}
	}
	return nil, &Error{Status: http.StatusNotFound, TypeKey: "SubscriptionNotFoundException", Message: "The subscription with ID " + id + " was not found."}
}

// checkSubscription refuses what the service can't deliver. Unlike the service it takes URLs on localhost and on plain
// http, which is where a stand-in is used.
func checkSubscription(b *subscriptionBody) error {
	invalid := func(name, why string) error {
		return badRequest("SubscriptionInputException", "The subscription input "+name+" is not valid: "+why)
	}
	kinds := []string{eventCreated, eventUpdated, eventCommented, eventDeleted, eventRestored}
	target, err := url.Parse(b.ConsumerInputs["url"])
	switch {
	case b.PublisherID != "tfs":
		return invalid("publisherId", "only tfs is known.")
	case !slices.Contains(kinds, b.EventType):
		return invalid("eventType", b.EventType+" is not known here.")
	case b.ConsumerID != "webHooks" || b.ConsumerActionID != "httpRequest":
		return invalid("consumerId", "only the action httpRequest of webHooks is known.")
	case err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https":
		return invalid("url", "it must be an http or https URL.")
	case strings.ContainsAny(b.ConsumerInputs["basicAuthUsername"]+b.ConsumerInputs["basicAuthPassword"], " \t\r\n"):
		return invalid("basicAuthPassword", "it must not contain white space.")
	case len(b.ConsumerInputs["basicAuthUsername"]) > 256 || len(b.ConsumerInputs["basicAuthPassword"]) > 256:
		return invalid("basicAuthPassword", "it must not be longer than 256 characters.")
	case strings.ContainsAny(b.PublisherInputs["commentPattern"], `&<>'"`) || len(b.PublisherInputs["commentPattern"]) > 1024:
		return invalid("commentPattern", "it cannot contain any of the characters &, <, >, ', \".")
	}
	return nil
}

// fill takes a body over into the subscription and adds the inputs that the server adds.
func (s *Server) fill(sub *subscription, b *subscriptionBody) {
	sub.EventType, sub.ConsumerID, sub.ConsumerActionID = b.EventType, b.ConsumerID, b.ConsumerActionID
	sub.ResourceVersion = orElse(b.ResourceVersion, "1.0")
	password := sub.ConsumerInputs["basicAuthPassword"]
	sub.PublisherInputs, sub.ConsumerInputs = maps.Clone(b.PublisherInputs), maps.Clone(b.ConsumerInputs)
	if sub.PublisherInputs == nil {
		sub.PublisherInputs = map[string]string{}
	}
	if sub.ConsumerInputs["basicAuthPassword"] == masked {
		sub.ConsumerInputs["basicAuthPassword"] = password
	}
	sub.PublisherInputs["tfsSubscriptionId"] = orElse(sub.PublisherInputs["tfsSubscriptionId"], uuid.NewString())
	sub.PublisherInputs["hostId"] = s.collectionID
}

func (s *Server) serveSubscribe(c *call) (answer, error) {
	var b subscriptionBody
	if err := c.decode(&b); err != nil {
		return answer{}, err
	}
	if err := checkSubscription(&b); err != nil {
		return answer{}, err
	}
	now := toMillis(s.opts.Now())
	sub := &subscription{ID: uuid.NewString(), Status: statusEnabled, creator: c.user.UniqueName, modifier: c.user.UniqueName, created: now, modified: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.fill(sub, &b)
	s.hooks.subs = append(s.hooks.subs, sub)
	s.note(Write{Kind: WriteSubscription, By: c.user.UniqueName, REST: true, At: now})
	return ok(s.subscriptionJSON(sub))
}

// serveResubscribe replaces a subscription; that also brings a disabled one back.
func (s *Server) serveResubscribe(c *call) (answer, error) {
	var b subscriptionBody
	if err := c.decode(&b); err != nil {
		return answer{}, err
	}
	if err := checkSubscription(&b); err != nil {
		return answer{}, err
	}
	if len(c.args) > 0 {
		b.ID = c.args[0]
	}
	status := orElse(enum(b.Status, statusEnabled, statusProbation, statusByUser, statusBySystem, statusByInactive), statusEnabled)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	sub, err := s.subscription(b.ID)
	if err != nil {
		return answer{}, err
	}
	s.fill(sub, &b)
	sub.modifier, sub.modified = c.user.UniqueName, toMillis(s.opts.Now())
	sub.Status = statusEnabled
	if status == statusByUser {
		sub.Status = statusByUser
	}
	sub.probationRetries, sub.lastProbation = 0, time.Time{}
	s.note(Write{Kind: WriteSubscription, By: c.user.UniqueName, REST: true, At: sub.modified})
	return ok(s.subscriptionJSON(sub))
}

func (s *Server) serveSubscription(c *call) (answer, error) {
	defer s.lockHooks()()
	sub, err := s.subscription(c.args[0])
	if err != nil {
		return answer{}, err
	}
	return ok(s.subscriptionJSON(sub))
}

func (s *Server) serveSubscriptions(c *call) (answer, error) {
	return s.filtered(subscriptionBody{
		PublisherID: c.query("publisherId"), EventType: c.query("eventType"), ConsumerID: c.query("consumerId"), ConsumerActionID: c.query("consumerActionId"),
	}, nil)
}

// filtered lists the subscriptions that agree with the non-empty parts of a body and with its inputs.
func (s *Server) filtered(b subscriptionBody, wrap func([]subscriptionJSON) (answer, error)) (answer, error) {
	defer s.lockHooks()()
	agrees := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	found := []subscriptionJSON{}
	for _, sub := range s.hooks.subs {
		if !agrees(b.PublisherID, "tfs") || !agrees(b.EventType, sub.EventType) || !agrees(b.ConsumerID, sub.ConsumerID) || !agrees(b.ConsumerActionID, sub.ConsumerActionID) {
			continue
		}
		fits := true
		for k, v := range b.PublisherInputs {
			fits = fits && agrees(v, sub.PublisherInputs[k])
		}
		for k, v := range b.ConsumerInputs {
			fits = fits && agrees(v, sub.ConsumerInputs[k])
		}
		if fits {
			found = append(found, s.subscriptionJSON(sub))
		}
	}
	if wrap != nil {
		return wrap(found)
	}
	return list(found)
}

// inputFilter is a filter of the subscriptions query; only equality is supported.
type inputFilter struct {
	Conditions []struct {
		InputID    string `json:"inputId"`
		InputValue string `json:"inputValue"`
	} `json:"conditions"`
}

func inputsOf(filters []inputFilter) map[string]string {
	out := map[string]string{}
	for _, f := range filters {
		for _, c := range f.Conditions {
			out[c.InputID] = c.InputValue
		}
	}
	return out
}

func (s *Server) serveSubscriptionsQuery(c *call) (answer, error) {
	var b struct {
		subscriptionBody

		PublisherInputFilters []inputFilter `json:"publisherInputFilters"`
		ConsumerInputFilters  []inputFilter `json:"consumerInputFilters"`
	}
	if err := c.decode(&b); err != nil {
		return answer{}, err
	}
	b.PublisherInputs, b.ConsumerInputs = inputsOf(b.PublisherInputFilters), inputsOf(b.ConsumerInputFilters)
	return s.filtered(b.subscriptionBody, func(found []subscriptionJSON) (answer, error) {
		return ok(map[string]any{
			"publisherId": b.PublisherID, "eventType": b.EventType, "consumerId": b.ConsumerID, "consumerActionId": b.ConsumerActionID, "results": found,
		})
	})
}

func (s *Server) notificationJSON(sub *subscription, r *notificationRecord, details bool) map[string]any {
	status := "completed"
	if r.result == "pending" {
		status = "queued"
	}
	out := map[string]any{
		"id": r.Number, "subscriptionId": sub.ID, "eventId": r.EventID, "status": status, "result": r.result,
		"createdDate": stamp(r.created), "modifiedDate": stamp(r.modified), "subscriberId": derivedID("subscriber", sub.creator),
	}
	if !details {
		return out
	}
	out["details"] = map[string]any{
		"eventType": r.EventType, "publisherId": "tfs", "consumerId": sub.ConsumerID, "consumerActionId": sub.ConsumerActionID,
		"consumerInputs": map[string]string{"url": sub.ConsumerInputs["url"]}, "publisherInputs": sub.PublisherInputs,
		"requestAttempts": r.attempts, "requestDuration": r.last.Duration.Seconds(),
		"request":  "Method: POST\nURI: " + sub.ConsumerInputs["url"] + "\nContent: " + string(r.last.Body),
		"response": "Status Code: " + strconv.Itoa(r.last.Status), "errorMessage": notificationError(r.last),
		"queuedDate": stamp(r.created), "completedDate": stamp(r.modified),
	}
	return out
}

func (s *Server) serveNotifications(c *call) (answer, error) {
	defer s.lockHooks()()
	sub, err := s.subscription(c.args[0])
	if err != nil {
		return answer{}, err
	}
	out := []map[string]any{}
	for _, r := range slices.Backward(sub.notifications) {
		if result := c.query("result"); result == "" || strings.EqualFold(result, r.result) {
			out = append(out, s.notificationJSON(sub, r, false))
		}
	}
	if most, err := strconv.Atoi(c.query("maxResults")); err == nil && most > 0 {
		out = out[:min(most, len(out))]
	}
	return list(out)
}

func (s *Server) serveNotification(c *call) (answer, error) {
	defer s.lockHooks()()
	sub, err := s.subscription(c.args[0])
	if err != nil {
		return answer{}, err
	}
	for _, r := range sub.notifications {
		if r.Number == c.number(1) {
			return ok(s.notificationJSON(sub, r, true))
		}
	}
	return answer{}, &Error{Status: http.StatusNotFound, TypeKey: "NotificationNotFoundException", Message: "The notification was not found."}
}

func (s *Server) serveNotificationsQuery(c *call) (answer, error) {
	var b struct {
		SubscriptionIDs []string `json:"subscriptionIds"`
		ResultType      any      `json:"resultType"`
		MaxResults      int      `json:"maxResults"`
		IncludeDetails  bool     `json:"includeDetails"`
		MinCreatedDate  string   `json:"minCreatedDate"`
	}
	if err := c.decode(&b); err != nil {
		return answer{}, err
	}
	since, _ := parseTime(b.MinCreatedDate)
	wanted := enum(b.ResultType, "pending", "succeeded", "failed", "filtered")
	defer s.lockHooks()()
	type hit struct {
		sub *subscription
		r   *notificationRecord
	}
	var hits []hit
	for _, sub := range s.hooks.subs {
		if b.SubscriptionIDs != nil && !slices.ContainsFunc(b.SubscriptionIDs, func(id string) bool { return strings.EqualFold(id, sub.ID) }) {
			continue
		}
		for _, r := range sub.notifications {
			if (wanted == "" || strings.EqualFold(wanted, r.result)) && !r.created.Before(since) {
				hits = append(hits, hit{sub, r})
			}
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(b.r.created.UnixNano(), a.r.created.UnixNano()) })
	if b.MaxResults > 0 {
		hits = hits[:min(b.MaxResults, len(hits))]
	}
	results := []map[string]any{}
	for _, h := range hits {
		results = append(results, s.notificationJSON(h.sub, h.r, b.IncludeDetails))
	}
	echo := map[string]any{"maxResults": b.MaxResults, "includeDetails": b.IncludeDetails, "results": results}
	if b.SubscriptionIDs != nil {
		echo["subscriptionIds"] = b.SubscriptionIDs
	}
	return ok(echo)
}
