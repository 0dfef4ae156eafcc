package webhook

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

// protoPushed is a pushed record as sync-core takes it; nil stays nil.
func protoPushed(p *PushedRecord) *tandemv1.PushedRecord {
	if p == nil {
		return nil
	}
	out := &tandemv1.PushedRecord{
		RecordId: p.ID, AsOfTime: timestamppb.New(p.AsOf), CreateTime: protoTime(p.Created),
		Removed: p.Removed, Bare: p.Bare, Cut: p.Cut, Own: p.Own, Again: p.Again, Mark: protoMark(p.Mark), ShowToRequester: p.ShowToRequester,
		Subject: p.Subject, ContentHtml: p.HTML, ContentPlain: p.Plain, Kind: p.Kind, From: p.Author,
	}
	for _, f := range p.Files {
		out.Files = append(out.Files, &tandemv1.PushedFile{FileId: f.ID, Name: f.Name, SizeBytes: f.Size, Link: f.Link})
	}
	return out
}

func protoTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func protoMark(m Mark) tandemv1.PushedRecord_Mark {
	switch m {
	case MarkImportant:
		return tandemv1.PushedRecord_MARK_IMPORTANT
	case MarkSolution:
		return tandemv1.PushedRecord_MARK_SOLUTION
	case NoMark:
	}
	return tandemv1.PushedRecord_MARK_UNSPECIFIED
}
