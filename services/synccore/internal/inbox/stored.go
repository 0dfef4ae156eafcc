package inbox

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// hint is the stored form of an event, without what the item's hash keeps beside it.
type hint struct {
	ID          string `json:"i,omitempty"`
	Key         string `json:"k"`
	Type        string `json:"t,omitempty"`
	Revision    int64  `json:"r,omitempty"`
	Received    int64  `json:"u,omitempty"` // nanoseconds since 1970
	TraceParent string `json:"p,omitempty"`
	Background  bool   `json:"b,omitempty"`
	Force       bool   `json:"f,omitempty"`
}

func encodeHint(e item.Event) (string, error) {
	h := hint{
		ID: e.ID, Key: e.Key.String(), Type: e.Type, Revision: e.Revision,
		TraceParent: e.TraceParent, Background: e.Background, Force: e.Force,
	}
	if !e.Received.IsZero() {
		h.Received = e.Received.UnixNano()
	}
	text, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("encoding hint: %w", err)
	}
	return string(text), nil
}

func decodeHint(text string) (item.Event, error) {
	var h hint
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return item.Event{}, fmt.Errorf("decoding stored hint: %w", err)
	}
	key, err := item.ParseKey(h.Key)
	if err != nil {
		return item.Event{}, fmt.Errorf("decoding stored hint: %w", err)
	}
	e := item.Event{
		ID: h.ID, Key: key, Type: h.Type, Revision: h.Revision,
		TraceParent: h.TraceParent, Background: h.Background, Force: h.Force,
	}
	if h.Received != 0 {
		e.Received = time.Unix(0, h.Received).UTC()
	}
	return e, nil
}

// batch is a group of merged hints, as the scripts keep it.
type batch struct {
	id           string
	first, last  item.Event
	count        int64
	revision     int64
	traceParents []string
	background   bool
	force        bool
}

// The lanes of a group, as the scripts name them.
const (
	laneLive       = "0"
	laneBackground = "1"
	laneForced     = "2"
)

// laneOf is the lane of one event.
func laneOf(e item.Event) string {
	switch {
	case e.Force:
		return laneForced
	case e.Background:
		return laneBackground
	default:
		return laneLive
	}
}

// batchFields is how many values a stored group has.
const batchFields = 9

// decodeBatch reads a group in the order of the scripts: id, first, last, payload,
// count, revision, traceparents, lane, arrival.
func decodeBatch(v []string) (batch, error) {
	first, err := decodeHint(v[1])
	if err != nil {
		return batch{}, err
	}
	last := first
	if v[2] != "" { // there is more than one
		last, err = decodeHint(v[2])
	}
	if err != nil {
		return batch{}, err
	}
	if v[3] != "" {
		last.Payload = []byte(v[3])
	}
	count, err := strconv.ParseInt(v[4], 10, 64)
	if err != nil {
		return batch{}, fmt.Errorf("decoding stored count: %w", err)
	}
	revision, err := strconv.ParseInt(v[5], 10, 64)
	if err != nil {
		return batch{}, fmt.Errorf("decoding stored revision: %w", err)
	}
	return batch{
		id: v[0], first: first, last: last, count: count, revision: revision,
		traceParents: strings.Fields(v[6]), background: v[7] == laneBackground, force: v[7] == laneForced,
	}, nil
}

// newID makes a public id. It holds the item's kind and number, so that the record
// is found by its id without an index; callers take it as opaque.
func newID(k item.Key) string {
	kind := "t"
	switch k.System {
	case item.AzureDevOps:
		kind = "w"
	case item.Notices:
		kind = "n"
	default:
	}
	const unguessable = 13 // base-32 characters, 65 bits
	return kind + strconv.FormatInt(k.ID, 10) + "-" + strings.ToLower(rand.Text()[:unguessable])
}

// keyOfID is the item whose record has that public id.
func keyOfID(connector, id string) (item.Key, bool) {
	number, _, found := strings.Cut(id, "-")
	if !found || number == "" || connector == "" || strings.Contains(connector, "/") {
		return item.Key{}, false
	}
	k := item.Key{Connector: connector}
	switch number[0] {
	case 't':
		k.System = item.Alvao
	case 'w':
		k.System = item.AzureDevOps
	case 'n':
		k.System = item.Notices
	default:
		return item.Key{}, false
	}
	n, err := strconv.ParseInt(number[1:], 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != number[1:] {
		return item.Key{}, false
	}
	k.ID = n
	return k, true
}

// traceParent is e's traceparent if it has the length that W3C Trace Context fixes
// for version 00, else empty.
func traceParent(e item.Event) string {
	const length = 55
	if len(e.TraceParent) != length || strings.ContainsAny(e.TraceParent, " \n") {
		return ""
	}
	return e.TraceParent
}
