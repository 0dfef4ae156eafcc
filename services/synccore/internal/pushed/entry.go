package pushed

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// entry is the stored form of a record.
type entry struct {
	// AsOf is in microseconds since 1970, UTC; Created too, 0: not told.
	AsOf      int64    `json:"a"`
	Removed   bool     `json:"x,omitempty"`
	Bare      bool     `json:"b,omitempty"`
	Cut       bool     `json:"c,omitempty"`
	Important bool     `json:"m,omitempty"`
	Visible   bool     `json:"v,omitempty"`
	Subject   string   `json:"s,omitempty"`
	HTML      string   `json:"h,omitempty"`
	Plain     string   `json:"p,omitempty"`
	Kind      string   `json:"k,omitempty"`
	From      string   `json:"f,omitempty"`
	Created   int64    `json:"t,omitempty"`
	Files     []file   `json:"d,omitempty"`
	Gone      []string `json:"g,omitempty"`
}

type file struct {
	ID   string `json:"i"`
	Name string `json:"n,omitempty"`
	// Size is one more than the bytes; 0: not told.
	Size int64  `json:"z,omitempty"`
	Link string `json:"l,omitempty"`
}

func fromRecord(r item.PushedRecord) entry {
	e := entry{
		AsOf: r.AsOf.UnixMicro(), Removed: r.Removed, Bare: r.Bare, Cut: r.Cut, Important: r.Important, Visible: r.ShowToRequester,
		Subject: r.Subject, HTML: r.HTML, Plain: r.Plain, Kind: r.Kind, From: r.From,
	}
	if !r.Created.IsZero() {
		e.Created = r.Created.UnixMicro()
	}
	for _, a := range r.Attachments {
		e.Files = append(e.Files, file{ID: a.ID, Name: a.Name, Size: a.Size + 1, Link: a.URL})
	}
	return e
}

func (e entry) record(id int64) item.PushedRecord {
	r := item.PushedRecord{
		AsOf: time.UnixMicro(e.AsOf).UTC(), Bare: e.Bare,
		Record: item.Record{
			ID: id, Subject: e.Subject, HTML: e.HTML, Plain: e.Plain, Kind: e.Kind, From: e.From,
			ShowToRequester: e.Visible, Important: e.Important, Cut: e.Cut, Removed: e.Removed, RemovedFiles: e.Gone,
		},
	}
	if e.Created != 0 {
		r.Created = time.UnixMicro(e.Created).UTC()
	}
	for _, f := range e.Files {
		r.Attachments = append(r.Attachments, item.Attachment{ID: f.ID, Name: f.Name, Size: f.Size - 1, URL: f.Link})
	}
	return r
}

// merge is what is known after told was told, and whether that is more than before; nil:
// what was known is younger. known may be nil.
func merge(known *entry, told entry) (*entry, bool) {
	if known == nil {
		return &told, true
	}
	if told.AsOf < known.AsOf {
		return nil, false
	}
	switch {
	case told.Removed:
		// Which files it had is kept, since they went with it.
		told = entry{AsOf: told.AsOf, Removed: true, Files: known.Files, Gone: known.Gone}
	case told.Bare && !known.Bare && !known.Removed:
		whole := *known
		whole.AsOf, whole.Important, whole.Visible = told.AsOf, told.Important, told.Visible
		told = whole
	case !told.Bare:
		told.Gone = gone(*known, told)
	}
	before := *known
	before.AsOf = told.AsOf
	return &told, !reflect.DeepEqual(before, told)
}

// gone are the files that a record had once and has not any more.
func gone(known, told entry) []string {
	has := make(map[string]bool, len(told.Files))
	for _, f := range told.Files {
		has[f.ID] = true
	}
	ids := slices.Clone(known.Gone)
	for _, f := range known.Files {
		ids = append(ids, f.ID)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return has[id] })
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) == 0 {
		return nil
	}
	return ids
}

func encode(e entry) ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding pushed record: %w", err)
	}
	return text, nil
}

// decode reads an entry; nil if there is none.
func decode(text string) (*entry, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // nothing stored is no failure
	}
	var e entry
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return nil, fmt.Errorf("decoding pushed record: %w", err)
	}
	return &e, nil
}
