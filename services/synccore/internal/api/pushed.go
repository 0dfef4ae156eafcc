package api

import (
	"context"
	"fmt"
	"strconv"
	"time"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/pushed"
)

// The limits that pushed_record.proto states, in bytes, and the most files.
const (
	maxPushedLine  = 1 << 10
	maxPushedKind  = 64
	maxPushedHTML  = 512 << 10
	maxPushedPlain = 128 << 10
	maxPushedFiles = 200
	maxPushedLink  = 2 << 10
)

// Pushed keeps what Alvao's application told of ticket logs.
type Pushed interface {
	Keep(ctx context.Context, connector string, ticket int64, record item.PushedRecord) (pushed.Kept, error)
	// KeepRound notes that the application told all records again, which took so long.
	KeepRound(ctx context.Context, connector string, took time.Duration) error
}

// longestRound is how long a round of the application may take.
const longestRound = 24 * time.Hour

func checkRound(v *violations, req *tandemv1.IngestEventRequest) {
	r := req.GetRound()
	if r == nil {
		return
	}
	v.check(req.GetSystem() == tandemv1.System_SYSTEM_ALVAO, "round", "is for SYSTEM_ALVAO alone")
	v.check(req.GetPushed() == nil, "round", "can't be told together with pushed")
	took := r.GetTook()
	v.check(took != nil && took.IsValid() && took.AsDuration() >= 0 && took.AsDuration() <= longestRound, "round.took", "is required and must be from 0 to 24 hours")
}

func checkPushed(v *violations, req *tandemv1.IngestEventRequest) {
	p := req.GetPushed()
	if p == nil {
		return
	}
	v.check(req.GetSystem() == tandemv1.System_SYSTEM_ALVAO, "pushed", "is for SYSTEM_ALVAO alone")
	v.check(p.GetRecordId() > 0, "pushed.record_id", "must be greater than 0")
	v.check(p.GetAsOfTime() != nil && p.GetAsOfTime().IsValid(), "pushed.as_of_time", "is required and must be a valid time")
	v.check(p.GetCreateTime() == nil || p.GetCreateTime().IsValid(), "pushed.create_time", "must be a valid time")
	_, known := tandemv1.PushedRecord_Mark_name[int32(p.GetMark())]
	v.check(known, "pushed.mark", "must be a value of the enum")
	for _, one := range []struct {
		name, value string
		most        int
	}{
		{"subject", p.GetSubject(), maxPushedLine},
		{"content_html", p.GetContentHtml(), maxPushedHTML},
		{"content_plain", p.GetContentPlain(), maxPushedPlain},
		{"kind", p.GetKind(), maxPushedKind},
		{"from", p.GetFrom(), maxPushedLine},
	} {
		v.check(len(one.value) <= one.most, "pushed."+one.name, "must be at most "+strconv.Itoa(one.most)+" bytes")
	}
	v.check(len(p.GetFiles()) <= maxPushedFiles, "pushed.files", "must be at most "+strconv.Itoa(maxPushedFiles))
	for i, f := range p.GetFiles()[:min(len(p.GetFiles()), maxPushedFiles)] {
		name := fmt.Sprintf("pushed.files[%d].", i)
		v.check(f.GetFileId() > 0, name+"file_id", "must be greater than 0")
		v.check(len(f.GetName()) <= maxPushedLine, name+"name", "must be at most 1024 bytes")
		v.check(f.GetSizeBytes() >= 0, name+"size_bytes", "must not be negative")
		v.check(len(f.GetLink()) <= maxPushedLink, name+"link", "must be at most 2048 bytes")
	}
}

// keep stores what was pushed before the hint is stored: a hint that is served finds
// it, and one whose storing fails is sent again. The disposition is 0 where a hint is
// to be stored.
func (s *EventService) keep(ctx context.Context, req *tandemv1.IngestEventRequest) (tandemv1.IngestEventResponse_Disposition, error) {
	if round := req.GetRound(); round != nil {
		if err := s.Pushed.KeepRound(ctx, req.GetConnector(), round.GetTook().AsDuration()); err != nil {
			return 0, Status(err)
		}
		return tandemv1.IngestEventResponse_DISPOSITION_STORED, nil
	}
	p := req.GetPushed()
	if p == nil {
		return 0, nil
	}
	kept, err := s.Pushed.Keep(ctx, req.GetConnector(), req.GetItemId(), pushedRecord(p))
	switch {
	case err != nil:
		return 0, Status(err)
	case p.GetOwn():
		return tandemv1.IngestEventResponse_DISPOSITION_STORED, nil
	case p.GetAgain() && !kept.Changed:
		return tandemv1.IngestEventResponse_DISPOSITION_DUPLICATE, nil
	default:
		return 0, nil
	}
}

func pushedRecord(p *tandemv1.PushedRecord) item.PushedRecord {
	r := item.PushedRecord{AsOf: p.GetAsOfTime().AsTime(), Bare: p.GetBare()}
	r.ID, r.Removed = p.GetRecordId(), p.GetRemoved()
	if r.Removed {
		return r
	}
	// Alvao's own views tell a solution apart from what is important (alvao.md §2.4).
	r.Important, r.ShowToRequester = p.GetMark() == tandemv1.PushedRecord_MARK_IMPORTANT, p.GetShowToRequester()
	if r.Bare {
		return r
	}
	r.Subject, r.HTML, r.Plain, r.Kind, r.From, r.Cut = p.GetSubject(), p.GetContentHtml(), p.GetContentPlain(), p.GetKind(), p.GetFrom(), p.GetCut()
	if p.GetCreateTime() != nil {
		r.Created = p.GetCreateTime().AsTime()
	}
	for _, f := range p.GetFiles() {
		a := item.Attachment{ID: strconv.FormatInt(f.GetFileId(), 10), Name: f.GetName(), Size: -1, URL: f.GetLink()}
		if f.SizeBytes != nil {
			a.Size = f.GetSizeBytes()
		}
		r.Attachments = append(r.Attachments, a)
	}
	return r
}
