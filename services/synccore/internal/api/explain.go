package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// explainedChanges is how many entries of a link's history an explanation shows.
const explainedChanges = 10

// ExplainLink implements tandem.v1.LinkService.
func (s *LinkService) ExplainLink(ctx context.Context, req *tandemv1.ExplainLinkRequest) (*tandemv1.ExplainLinkResponse, error) {
	key, record, err := s.subject(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if _, ok := s.Connectors.Describe(key.Connector); !ok {
		return nil, noConnector(key.Connector)
	}
	e := explanation{key: key}
	if key.System == item.AzureDevOps {
		e.resp.WorkItemId = key.ID
		ticket, linked, err := s.Links.TicketOf(ctx, key.Connector, key.ID)
		if err != nil {
			return nil, Status(err)
		}
		if linked {
			e.ticket = ticket
		}
	} else {
		e.ticket = key.ID
	}
	if err := s.gather(ctx, &e, record); err != nil {
		return nil, Status(err)
	}
	e.resp.Summary = e.summary()
	return &e.resp, nil
}

// subject finds the item that is asked about; record is the event, if it is one.
func (s *LinkService) subject(ctx context.Context, name string) (item.Key, *inbox.Record, error) {
	var v violations
	parts := strings.Split(name, "/")
	const rule = "must be connectors/{connector}/links/{ticket_id}, …/workItems/{work_item_id} or …/events/{event}"
	if len(parts) != 4 || parts[0] != "connectors" || parts[1] == "" || parts[3] == "" {
		v.add("name", rule)
		return item.Key{}, nil, v.err()
	}
	key := item.Key{Connector: parts[1], System: item.Alvao}
	switch parts[2] {
	case "events":
		record, err := s.Inbox.Get(ctx, parts[1], parts[3])
		if err != nil {
			return item.Key{}, nil, Status(err)
		}
		key = record.Key
		if key.System == item.Notices {
			key.System = item.Alvao
		}
		return key, &record, nil
	case "workItems":
		key.System = item.AzureDevOps
	case "links":
	default:
		v.add("name", rule)
		return item.Key{}, nil, v.err()
	}
	id, err := strconv.ParseInt(parts[3], 10, 64)
	v.check(err == nil && id > 0 && strconv.FormatInt(id, 10) == parts[3], "name", "must end in a number")
	key.ID = id
	return key, nil, v.err()
}

// explanation is an answer in the making.
type explanation struct {
	key item.Key
	// ticket is 0 if none is known.
	ticket    int64
	link      item.Link
	decisions []item.Decision
	waiting   []inbox.Record
	resp      tandemv1.ExplainLinkResponse
}

func (s *LinkService) gather(ctx context.Context, e *explanation, record *inbox.Record) error {
	if record != nil {
		e.waiting = append(e.waiting, *record)
	}
	keys := []item.Key{e.key}
	if e.ticket != 0 {
		var err error
		if e.link, err = s.Links.Get(ctx, e.key.Connector, e.ticket); err != nil {
			return err
		}
		e.resp.TicketId = e.ticket
		if e.link.Exists() {
			e.resp.WorkItemId, e.resp.Link = e.link.WorkItem, linkProto(e.link)
		}
		ticket := item.Key{Connector: e.key.Connector, System: item.Alvao, ID: e.ticket}
		if ticket != e.key {
			keys = append(keys, ticket)
		}
		if e.link.WorkItem != 0 && e.key.System == item.Alvao {
			keys = append(keys, item.Key{Connector: e.key.Connector, System: item.AzureDevOps, ID: e.link.WorkItem})
		}
		changes, err := s.Links.History(ctx, e.key.Connector, e.ticket, explainedChanges)
		if err != nil {
			return err
		}
		for _, change := range changes {
			e.resp.Changes = append(e.resp.Changes, changeProto(change))
		}
	}
	for _, key := range keys {
		found, err := s.Links.Decisions(ctx, key)
		if err != nil {
			return err
		}
		e.decisions = append(e.decisions, found...)
		records, err := s.Inbox.Of(ctx, key)
		if err != nil {
			return err
		}
		for _, one := range records {
			if !slices.ContainsFunc(e.waiting, func(r inbox.Record) bool { return r.ID == one.ID }) {
				e.waiting = append(e.waiting, one)
			}
		}
	}
	slices.SortStableFunc(e.decisions, func(a, b item.Decision) int { return b.Time.Compare(a.Time) })
	for _, one := range e.decisions {
		e.resp.Decisions = append(e.resp.Decisions, decisionProto(one))
	}
	for _, one := range e.waiting {
		e.resp.Waiting = append(e.resp.Waiting, &tandemv1.Waiting{
			Name: fmt.Sprintf("connectors/%s/events/%s", one.Key.Connector, one.ID), State: string(one.State), Reason: one.Reason, TraceId: one.TraceID,
		})
	}
	return nil
}

// summary is the shortest true answer: what hinders most comes first.
func (e *explanation) summary() string {
	for _, state := range []inbox.State{inbox.Dead, inbox.Waiting} {
		for _, one := range e.waiting {
			if one.State == state && one.Reason != "" {
				return one.Reason
			}
		}
	}
	if e.link.State == item.LinkParked || e.link.State == item.LinkGone {
		return e.link.Reason
	}
	for _, one := range e.waiting {
		switch one.State {
		case inbox.Running:
			return "It is being looked at right now."
		case inbox.Queued:
			return "It waits for its turn and has not been looked at since the event came."
		case inbox.Dead, inbox.Waiting:
		}
	}
	if len(e.decisions) == 0 {
		return "Nothing is known of it: no event came in the last three days, and nothing was decided."
	}
	latest := e.decisions[0]
	if latest.Writes > 0 {
		return fmt.Sprintf("The last look made %d writes (%s).", latest.Writes, strings.Join(latest.Steps, ", "))
	}
	for _, rule := range latest.Rules {
		if rule.Said == item.SaidStop {
			return "Nothing was written: " + rule.Detail
		}
	}
	if latest.Reason != "" {
		return "Nothing was written: " + latest.Reason + "."
	}
	return "Nothing was written."
}

func decisionProto(d item.Decision) *tandemv1.Decision {
	outcome := d.Outcome
	if outcome == "dead" {
		outcome = "dead-letter"
	}
	out := &tandemv1.Decision{
		DecideTime: timestamp(d.Time), EventType: d.Event, Outcome: outcome, Reason: d.Reason, Steps: d.Steps, WriteCount: count32(d.Writes), TraceId: d.TraceID,
	}
	for _, rule := range d.Rules {
		out.Rules = append(out.Rules, &tandemv1.RuleVerdict{Rule: rule.Rule, Verdict: verdictProto(rule.Said), Detail: rule.Detail})
	}
	return out
}

func verdictProto(s item.Said) tandemv1.RuleVerdict_Verdict {
	switch s {
	case item.SaidPass:
		return tandemv1.RuleVerdict_VERDICT_PASSED
	case item.SaidStop:
		return tandemv1.RuleVerdict_VERDICT_STOPPED
	case item.SaidAct:
		return tandemv1.RuleVerdict_VERDICT_ACTED
	default:
		return tandemv1.RuleVerdict_VERDICT_UNSPECIFIED
	}
}

func changeProto(change item.LinkChange) *tandemv1.LinkChange {
	return &tandemv1.LinkChange{ChangeTime: timestamp(change.Time), Action: change.Action, Detail: change.Detail, TraceId: change.TraceID}
}
