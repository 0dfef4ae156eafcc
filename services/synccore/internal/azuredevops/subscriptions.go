package azuredevops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

// wireHook is a service hook subscription (azure-devops.md §1.10).
type wireHook struct {
	ID              lenient.Text `json:"id"`
	Status          lenient.Text `json:"status"`
	EventType       lenient.Text `json:"eventType"`
	ResourceVersion lenient.Text `json:"resourceVersion"`
	CreatedDate     lenient.Text `json:"createdDate"`
	PublisherInputs lenient.Map  `json:"publisherInputs"`
	ConsumerInputs  lenient.Map  `json:"consumerInputs"`
}

func (w wireHook) address() string   { return w.ConsumerInputs.Text("url") }
func (w wireHook) projectID() string { return w.PublisherInputs.Text("projectId") }

// hookDraft is a subscription as it is sent.
type hookDraft struct {
	ID               string            `json:"id,omitempty"`
	Status           item.HookStatus   `json:"status,omitempty"`
	PublisherID      string            `json:"publisherId"`
	EventType        string            `json:"eventType"`
	ResourceVersion  string            `json:"resourceVersion"`
	ConsumerID       string            `json:"consumerId"`
	ConsumerActionID string            `json:"consumerActionId"`
	PublisherInputs  map[string]string `json:"publisherInputs"`
	ConsumerInputs   map[string]string `json:"consumerInputs"`
}

// errNoHook is an answer that holds something else than a subscription.
var errNoHook = errors.New("it is no subscription")

// rightToHooks is what the token's account needs.
const rightToHooks = "to view and edit service hook subscriptions"

const (
	hooksPublisher, hooksConsumer, hooksAction = "tfs", "webHooks", "httpRequest"
	hooksResource                              = "/_apis/hooks/subscriptions"
	// hookVersion is the one resource version that tells relations (azure-devops.md §1.3).
	hookVersion = "1.0"
	everything  = "all"
	nothing     = "none"
)

func draftOf(d item.HookDraft, password string) hookDraft {
	return hookDraft{
		PublisherID: hooksPublisher, EventType: d.Event, ResourceVersion: hookVersion, ConsumerID: hooksConsumer, ConsumerActionID: hooksAction,
		// An empty filter means any (azure-devops.md §1.1).
		PublisherInputs: map[string]string{"projectId": d.ProjectID, "areaPath": "", "workItemType": ""},
		// Without an explicit word some servers send keys only (azure-devops.md §1.9).
		ConsumerInputs: map[string]string{
			"url": d.URL, "basicAuthUsername": d.User, "basicAuthPassword": password,
			"resourceDetailsToSend": everything, "messagesToSend": nothing, "detailedMessagesToSend": nothing,
		},
	}
}

// hook reads a subscription. What the server adds by itself, such as hostId and
// tfsSubscriptionId, makes no difference: who compared it would replace hooks for ever
// (azure-devops.md §1.10).
func (w wireHook) hook() item.Hook {
	filtered := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return w.PublisherInputs.Text(name) != "" })
	}
	consumer := func(name string) string { return strings.ToLower(w.ConsumerInputs.Text(name)) }
	details := consumer("resourceDetailsToSend")
	h := item.Hook{
		ID: string(w.ID), Event: string(w.EventType), ProjectID: w.projectID(), URL: w.address(), User: w.ConsumerInputs.Text("basicAuthUsername"),
		Narrowed: filtered("areaPath", "workItemType", "tag", "changedFields", "commentPattern") || strings.EqualFold(w.PublisherInputs.Text("linksChanged"), "true"),
		Bare:     details == nothing,
		Plain: (w.ResourceVersion == hookVersion || w.ResourceVersion == "") && (details == everything || details == "") &&
			consumer("messagesToSend") == nothing && consumer("detailedMessagesToSend") == nothing &&
			consumer("httpHeaders") == "" && consumer("acceptUntrustedCerts") != "true",
		Created: lenient.Time(string(w.CreatedDate), time.UTC),
	}
	h.Status = item.HookStatus(w.Status)
	for _, known := range []item.HookStatus{
		item.HookEnabled, item.HookOnProbation, item.HookDisabledBySystem, item.HookDisabledByInactiveIdentity, item.HookDisabledByUser,
	} {
		if strings.EqualFold(string(h.Status), string(known)) {
			h.Status = known
		}
	}
	if h.Status == "" {
		// Servers leave the usual out, as the specification's examples do.
		h.Status = item.HookEnabled
	}
	return h
}

// Hooks lists the account's service hooks that post work item events to an address. An
// answer that may not be all of them is an error: who took it for the truth would
// create what is there already (azure-devops.md §1.10).
func (c *Client) Hooks(ctx context.Context) ([]item.Hook, error) {
	list, err := c.listHooks(ctx)
	if err != nil {
		return nil, err
	}
	hooks := make([]item.Hook, 0, len(list))
	for _, w := range list {
		hooks = append(hooks, w.hook())
	}
	return hooks, nil
}

func (c *Client) listHooks(ctx context.Context) ([]wireHook, error) {
	var answer struct {
		Count lenient.Int        `json:"count"`
		Value *[]json.RawMessage `json:"value"`
	}
	q := call{
		method: http.MethodGet, path: hooksResource,
		// An unfiltered list times out in large organisations (azure-devops.md §1.10).
		query:   "publisherId=" + hooksPublisher + "&consumerId=" + hooksConsumer + "&consumerActionId=" + hooksAction,
		subject: "the service hooks of " + c.at.account, deed: "list", right: rightToHooks,
	}
	a, err := c.do(ctx, q, &answer)
	if err != nil {
		return nil, err
	}
	if answer.Value == nil || int(answer.Count) > len(*answer.Value) {
		return nil, c.unreadable(q, a, fmt.Errorf("%d subscriptions are told and not all are there", answer.Count))
	}
	list := make([]wireHook, 0, len(*answer.Value))
	for _, raw := range *answer.Value {
		var w wireHook
		if err := json.Unmarshal(raw, &w); err != nil || w.ID == "" {
			return nil, c.unreadable(q, a, errNoHook)
		}
		list = append(list, w)
	}
	return list, nil
}

// CreateHook makes a service hook. It is not repeated: after an answer that got lost
// the next list tells whether there is one.
func (c *Client) CreateHook(ctx context.Context, d item.HookDraft, password string) (item.Hook, error) {
	return c.sendHook(ctx, call{
		method: http.MethodPost, path: hooksResource, body: draftOf(d, password), subject: hookName(d.Event), deed: "create", right: rightToHooks,
	})
}

// ReplaceHook makes the service hook of that id what the draft says, and switches it on.
func (c *Client) ReplaceHook(ctx context.Context, id string, d item.HookDraft, password string) (item.Hook, error) {
	body := draftOf(d, password)
	body.ID, body.Status = id, item.HookEnabled
	q := call{method: http.MethodPut, path: hooksResource + "/" + id, body: body, subject: hookName(d.Event), deed: "change", right: rightToHooks}
	if !isGUID(id) {
		return item.Hook{}, c.strangeHook(q)
	}
	return c.sendHook(ctx, q)
}

// RemoveHook removes the service hook of that id; that there is none is no error.
func (c *Client) RemoveHook(ctx context.Context, id, event string) error {
	q := call{method: http.MethodDelete, path: hooksResource + "/" + id, subject: hookName(event), deed: "remove", right: rightToHooks}
	if !isGUID(id) {
		return c.strangeHook(q)
	}
	_, err := c.do(ctx, q, nil)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func (c *Client) sendHook(ctx context.Context, q call) (item.Hook, error) {
	var w wireHook
	a, err := c.do(ctx, q, &w)
	if err != nil {
		return item.Hook{}, err
	}
	if w.ID == "" {
		return item.Hook{}, c.unreadable(q, a, errNoHook)
	}
	return w.hook(), nil
}

func (*Client) strangeHook(q call) error {
	return fault.New(fault.Invalid, "Azure DevOps calls %s by something that is no id, so Tandem does not %s it.", q.subject, q.deed)
}

func hookName(event string) string { return "the service hook for " + event }
