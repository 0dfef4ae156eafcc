package azuredevops

import "strings"

// noGUID is the subscription of a test event.
const noGUID = "00000000-0000-0000-0000-000000000000"

// sampleIDs are the fixed ids of the events that the Test button sends (recorded).
func sampleIDs() map[string]string {
	return map[string]string{
		eventUpdated:   "27646e0e-b520-4d2b-9411-bba7524947cd",
		eventCreated:   "d2d46fb1-dba5-403c-9373-427583f19e8c",
		eventCommented: "fb2617ed-60df-4518-81fa-749faa6c5cd6",
		eventDeleted:   "72da0ade-0709-40ee-beb7-104287bf7e84",
		eventRestored:  "1ca023d6-6cff-49dd-b3d1-302b69311810",
	}
}

// sample is the body of a test event: the same made-up item of Jamal Hartnett every time. For workitem.updated its
// workItemId is 0.
func sample(kind string) envelope {
	const root = "https://fabrikam-fiber-inc.visualstudio.com/DefaultCollection/_apis/wit/workItems"
	fields := map[string]any{
		"System.AreaPath": "FabrikamCloud", "System.TeamProject": "FabrikamCloud", "System.IterationPath": `FabrikamCloud\Release 1\Sprint 1`,
		"System.WorkItemType": "Bug", "System.State": "New", "System.Reason": "New defect reported",
		"System.CreatedDate": "2014-07-15T17:42:44.663Z", "System.CreatedBy": "Jamal Hartnett",
		"System.ChangedDate": "2014-07-15T17:42:44.663Z", "System.ChangedBy": "Jamal Hartnett",
		"System.Title": "Some great new idea!", "Microsoft.VSTS.Common.Severity": "3 - Medium",
	}
	resource := map[string]any{"id": 5, "rev": 1, "fields": fields, "url": root + "/5"}
	switch kind {
	case eventUpdated:
		resource = map[string]any{
			"id": 2, "workItemId": 0, "rev": 2, "revisedBy": nil, "revisedDate": "0001-01-01T00:00:00",
			"fields": map[string]any{
				"System.Rev":   map[string]string{"oldValue": "1", "newValue": "2"},
				"System.State": map[string]string{"oldValue": "New", "newValue": "Approved"},
			},
			"url": root + "/5/updates/2", "revision": map[string]any{"id": 5, "rev": 2, "fields": fields, "url": root + "/5/revisions/2"},
		}
	case eventCommented:
		resource["rev"] = 4
		fields["System.History"] = "This is a great new idea"
	case eventDeleted:
		resource["url"] = strings.Replace(root, "workItems", "recyclebin", 1) + "/5"
	}
	text := "Bug #5 (Some great new idea!) " + strings.TrimPrefix(kind, "workitem.") + " by Jamal Hartnett."
	message := &formatted{Text: text, HTML: text, Markdown: text}
	return envelope{
		SubscriptionID: noGUID, NotificationID: 1, ID: sampleIDs()[kind], EventType: kind, PublisherID: "tfs", Message: message, DetailedMessage: message,
		Resource: resource, ResourceVersion: "1.0",
		Containers: map[string]container{
			"collection": {ID: "c12d0eb8-e382-443b-9f9c-c52cba5014c2"}, "account": {ID: "f844ec47-a9db-4511-8281-8b63f4eaf94e"},
			"project": {ID: "be9b3917-87e6-42a4-a549-2bc06a7a878f"},
		},
		CreatedDate: "2016-05-02T19:16:25.6251162Z",
	}
}

// serveTestNotification sends the fixed sample event of a kind to a subscription's URL, as the Test button does, and
// answers how that went.
func (s *Server) serveTestNotification(c *call) (answer, error) {
	var b struct {
		SubscriptionID string `json:"subscriptionId"`
		Details        struct {
			EventType      string            `json:"eventType"`
			ConsumerInputs map[string]string `json:"consumerInputs"`
		} `json:"details"`
	}
	if err := c.decode(&b); err != nil {
		return answer{}, err
	}
	target := subscription{ID: noGUID, EventType: b.Details.EventType, ConsumerInputs: b.Details.ConsumerInputs}
	if b.SubscriptionID != "" && b.SubscriptionID != noGUID {
		s.hooks.mu.Lock()
		sub, err := s.subscription(b.SubscriptionID)
		if err == nil {
			target = *sub
		}
		s.hooks.mu.Unlock()
		if err != nil {
			return answer{}, err
		}
	}
	if sampleIDs()[target.EventType] == "" {
		return answer{}, badRequest("ArgumentException", "The event type "+target.EventType+" is not known.")
	}
	body, err := marshal(sample(target.EventType))
	if err != nil {
		return answer{}, err
	}
	begun := s.hooks.now()
	status, problem := s.hooks.send(&target, body)
	n := Notification{Subscription: target.ID, Number: 1, EventID: sampleIDs()[target.EventType], EventType: target.EventType}
	d := Delivery{Notification: n, Attempt: 1, Status: status, Error: problem, Result: "test", Duration: s.hooks.now().Sub(begun), Body: body}
	now := s.opts.Now()
	record := &notificationRecord{Notification: n, created: now, modified: now, result: "failed", attempts: 1, last: d}
	if status >= 200 && status < 300 {
		record.result = "succeeded"
	}
	defer s.lockHooks()()
	s.hooks.record(d)
	return ok(s.notificationJSON(&target, record, true))
}

// SendTestEvent sends the fixed sample event of a kind, for example "workitem.updated", to every subscription for that
// kind, as the Test button does, and waits for the answers. It returns their HTTP statuses, 0 where there was none.
func (s *Server) SendTestEvent(kind string) []int {
	s.hooks.mu.Lock()
	var targets []subscription
	for _, sub := range s.hooks.subs {
		if sub.EventType == kind {
			targets = append(targets, *sub)
		}
	}
	s.hooks.mu.Unlock()
	body, err := marshal(sample(kind))
	if err != nil {
		return nil
	}
	out := make([]int, 0, len(targets))
	for i := range targets {
		begun := s.hooks.now()
		status, problem := s.hooks.send(&targets[i], body)
		n := Notification{Subscription: targets[i].ID, EventID: sampleIDs()[kind], EventType: kind}
		s.hooks.mu.Lock()
		s.hooks.record(Delivery{Notification: n, Attempt: 1, Status: status, Error: problem, Result: "test", Duration: s.hooks.now().Sub(begun), Body: body})
		s.hooks.mu.Unlock()
		out = append(out, status)
	}
	return out
}
