package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func pushEvent(id string, record *tandemv1.PushedRecord) *tandemv1.IngestEventRequest {
	req := alvaoEvent(8)
	req.EventId, req.EventType, req.Pushed = id, "act.created", record
	return req
}

func pushedNote(second int64, text string) *tandemv1.PushedRecord {
	return &tandemv1.PushedRecord{
		RecordId: 5, AsOfTime: &timestamppb.Timestamp{Seconds: 1_770_000_000 + second}, CreateTime: &timestamppb.Timestamp{Seconds: 1_770_000_000},
		Subject: "About", ContentHtml: "<p>" + text + "</p>", ContentPlain: text, Kind: "Note", From: "Eve", ShowToRequester: true, Cut: true,
		Mark:  tandemv1.PushedRecord_MARK_IMPORTANT,
		Files: []*tandemv1.PushedFile{{FileId: 3, Name: "a.png", SizeBytes: proto.Int64(0), Link: "v1/attachments/3"}, {FileId: 4, Name: "b"}},
	}
}

func (w *world) log(t *testing.T) []item.PushedRecord {
	t.Helper()
	log, err := w.pushed.Log(t.Context(), "development", 8)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestWhatIsPushedIsKeptAsTheLog(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if resp, err := w.events.IngestEvent(t.Context(), pushEvent("1", pushedNote(1, "text"))); err != nil || resp.GetDisposition() != stored || resp.GetConnector() != "development" {
		t.Fatalf("%v, %v", resp, err)
	}
	want := []item.PushedRecord{{
		AsOf: time.Unix(1_770_000_001, 0).UTC(),
		Record: item.Record{
			ID: 5, Subject: "About", HTML: "<p>text</p>", Plain: "text", Kind: "Note", From: "Eve", Created: time.Unix(1_770_000_000, 0).UTC(),
			ShowToRequester: true, Important: true, Cut: true,
			Attachments: []item.Attachment{{ID: "3", Name: "a.png", URL: "v1/attachments/3"}, {ID: "4", Name: "b", Size: -1}},
		},
	}}
	if diff := cmp.Diff(want, w.log(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Neither the hint nor what people are shown of it holds what was written.
	got := w.receive(t, 5)
	if len(got) != 1 || got[0].Key.ID != 8 || len(got[0].Last.Payload) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestWhichPushesAskForALook(t *testing.T) {
	t.Parallel()
	w := setup(t)
	own, again, removed := pushedNote(2, "ours"), pushedNote(3, "ours"), &tandemv1.PushedRecord{RecordId: 5, Removed: true, AsOfTime: timestamppb.New(time.Unix(1_770_000_005, 0))}
	own.Own, again.Again = true, true
	changed := pushedNote(4, "changed meanwhile")
	changed.Again = true
	for _, step := range []struct {
		name   string
		req    *tandemv1.IngestEventRequest
		want   tandemv1.IngestEventResponse_Disposition
		looks  int
		reads  string
		remove bool
	}{
		{"ours", pushEvent("1", own), stored, 0, "ours", false},
		{"known already", pushEvent("2", again), duplicate, 0, "ours", false},
		{"news, told again", pushEvent("3", changed), stored, 1, "changed meanwhile", false},
		{"older, arriving late", pushEvent("4", pushedNote(1, "older")), stored, 1, "changed meanwhile", false},
		{"the same delivery", pushEvent("4", pushedNote(1, "older")), duplicate, 0, "changed meanwhile", false},
		{"removed", pushEvent("5", removed), stored, 1, "", true},
	} {
		resp, err := w.events.IngestEvent(t.Context(), step.req)
		if err != nil || resp.GetDisposition() != step.want {
			t.Errorf("%s: %v, %v", step.name, resp, err)
		}
		looks := w.receive(t, 5)
		if len(looks) != step.looks {
			t.Errorf("%s: %d looks", step.name, len(looks))
		}
		for _, d := range looks {
			if err := w.inbox.Done(t.Context(), d); err != nil {
				t.Error(err)
			}
		}
		if log := w.log(t); len(log) != 1 || log[0].Plain != step.reads || log[0].Removed != step.remove {
			t.Errorf("%s: %+v", step.name, log)
		}
	}
}

// TestTheEndOfARound: that the application told all again is kept, and asks for no look.
func TestTheEndOfARound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	req := func(took *durationpb.Duration) *tandemv1.IngestEventRequest {
		return &tandemv1.IngestEventRequest{
			Connector: "development", System: tandemv1.System_SYSTEM_ALVAO, EventType: "round.finished", Round: &tandemv1.PushedRound{Took: took},
		}
	}
	resp, err := w.events.IngestEvent(t.Context(), req(durationpb.New(time.Minute)))
	if err != nil || resp.GetDisposition() != stored {
		t.Fatalf("%v, %v", resp, err)
	}
	if at, err := w.pushed.Round(t.Context(), "development"); err != nil || at.IsZero() {
		t.Errorf("%v, %v", at, err)
	}
	if got := w.receive(t, 5); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	for _, took := range []*durationpb.Duration{nil, durationpb.New(-1), durationpb.New(25 * time.Hour)} {
		_, err := w.events.IngestEvent(t.Context(), req(took))
		wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "round.took")
	}
	both := req(durationpb.New(time.Minute))
	both.Pushed, both.ItemId = pushedNote(1, "text"), 8
	_, err = w.events.IngestEvent(t.Context(), both)
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "round")
}

func TestPushesThatAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	long := strings.Repeat("x", 512<<10+1)
	req := pushEvent("1", &tandemv1.PushedRecord{
		RecordId: -1, Mark: 9, Subject: long, ContentHtml: long, ContentPlain: long, Kind: long, From: long,
		CreateTime: &timestamppb.Timestamp{Nanos: -1}, Files: []*tandemv1.PushedFile{{Name: long, Link: long, SizeBytes: proto.Int64(-1)}},
	})
	_, err := w.events.IngestEvent(t.Context(), req)
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "pushed.record_id", "pushed.as_of_time", "pushed.create_time", "pushed.mark",
		"pushed.subject", "pushed.content_html", "pushed.content_plain", "pushed.kind", "pushed.from",
		"pushed.files[0].file_id", "pushed.files[0].name", "pushed.files[0].size_bytes", "pushed.files[0].link")
	if err != nil && strings.Contains(err.Error(), "xxx") {
		t.Error("the refusal repeats what was sent")
	}
	req = pushEvent("1", pushedNote(1, "text"))
	req.Pushed.Files = make([]*tandemv1.PushedFile, 201)
	for i := range req.Pushed.Files {
		req.Pushed.Files[i] = &tandemv1.PushedFile{FileId: 1}
	}
	_, err = w.events.IngestEvent(t.Context(), req)
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "pushed.files")
	wrong := azureEvent(30)
	wrong.Pushed = pushedNote(1, "text")
	_, err = w.events.IngestEvent(t.Context(), wrong)
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "pushed")
	unknown := pushEvent("1", pushedNote(1, "text"))
	unknown.Connector = "nobody"
	_, err = w.events.IngestEvent(t.Context(), unknown)
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
	if log := w.log(t); len(log) != 0 {
		t.Errorf("kept %+v", log)
	}
}
