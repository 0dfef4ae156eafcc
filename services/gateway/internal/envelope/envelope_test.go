package envelope_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/gateway/internal/envelope"
)

// seen is what a walk over the test bodies collects.
type seen struct {
	Text  string
	N     int64
	HasN  bool
	Inner string
}

func walk(p *envelope.Parser, body string) (seen, error) {
	var s seen
	err := p.Walk([]byte(body), func(r *envelope.Reader, name []byte) error {
		var err error
		switch string(name) {
		case "text":
			s.Text, err = r.String()
		case "n":
			s.N, s.HasN, err = r.Int()
		case "inner":
			err = r.Object(func(r *envelope.Reader, name []byte) error {
				if string(name) != "text" {
					return r.Skip()
				}
				s.Inner, err = r.String()
				return err
			})
		default:
			err = r.Skip()
		}
		return err
	})
	return s, err
}

func TestWalk(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		want       seen
		malformed  bool
	}{
		{name: "empty object", body: `{}`},
		{name: "whitespace around", body: " \r\n{ } \t"},
		{name: "members", body: `{"text":"a","n":7,"inner":{"text":"b","x":[1,{"text":"no"}]},"more":null}`, want: seen{Text: "a", N: 7, HasN: true, Inner: "b"}},
		{name: "PascalCase", body: `{"Text":"a","N":7,"Inner":{"TEXT":"b"}}`, want: seen{Text: "a", N: 7, HasN: true, Inner: "b"}},
		{name: "escaped name", body: `{"\u0074ext":"a"}`, want: seen{Text: "a"}},
		{name: "escaped value", body: `{"text":"a\u00e9\n"}`, want: seen{Text: "aé\n"}},
		{name: "lone surrogate", body: `{"text":"a\ud800"}`, want: seen{Text: "a\ufffd"}},
		{name: "number as string", body: `{"n":"30"}`, want: seen{N: 30, HasN: true}},
		{name: "negative", body: `{"n":-1}`, want: seen{N: -1, HasN: true}},
		{name: "fraction is no integer", body: `{"n":1.5}`},
		{name: "beyond 64 bits", body: `{"n":99999999999999999999}`},
		{name: "word is no integer", body: `{"n":"many"}`},
		{name: "wrong types are skipped", body: `{"text":{"a":1},"n":[1],"inner":"x"}`},
		{name: "nulls", body: `{"text":null,"n":null,"inner":null}`},
		{name: "last duplicate wins", body: `{"text":"a","text":"b"}`, want: seen{Text: "b"}},
		{name: "long name", body: `{"` + strings.Repeat("t", 200) + `":1,"text":"a"}`, want: seen{Text: "a"}},

		{name: "nothing", body: ``, malformed: true},
		{name: "array", body: `[]`, malformed: true},
		{name: "string", body: `"x"`, malformed: true},
		{name: "null", body: `null`, malformed: true},
		{name: "broken off", body: `{"text":"a"`, malformed: true},
		{name: "broken off in a string", body: `{"text":"a`, malformed: true},
		{name: "trailing comma", body: `{"text":"a",}`, malformed: true},
		{name: "trailing comma in a skipped part", body: `{"more":[1,],"text":"a"}`, malformed: true},
		{name: "two objects", body: `{}{}`, malformed: true},
		{name: "text behind", body: `{} x`, malformed: true},
		{name: "single quotes", body: `{'text':'a'}`, malformed: true},
		{name: "bare word", body: `{text:1}`, malformed: true},
		{name: "NaN", body: `{"n":NaN}`, malformed: true},
	}
	var p envelope.Parser
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := walk(&p, tt.body)
			if malformed := errors.Is(err, envelope.ErrMalformed); malformed != tt.malformed || (err != nil) != tt.malformed {
				t.Fatalf("Walk(%s) = %v, want malformed %v", tt.body, err, tt.malformed)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Walk(%s) (-want +got):\n%s", tt.body, diff)
			}
		})
	}
}

// TestWalkKeepsMembersError: what a member returns comes back as it is.
func TestWalkKeepsMembersError(t *testing.T) {
	t.Parallel()
	sentinel := errors.New("stop")
	var p envelope.Parser
	err := p.Walk([]byte(`{"a":1}`), func(*envelope.Reader, []byte) error { return sentinel })
	if !errors.Is(err, sentinel) {
		t.Fatalf("Walk = %v, want %v", err, sentinel)
	}
	// A parser is usable after a walk that was broken off.
	if err := p.Walk([]byte(`{"a":1}`), func(r *envelope.Reader, _ []byte) error { return r.Skip() }); err != nil {
		t.Fatalf("Walk after a broken one: %v", err)
	}
}

// FuzzWalk holds Walk against encoding/json: both accept the same bodies, and see
// the same string.
func FuzzWalk(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"text":"a","n":7,"inner":{"text":"b"}}`, `{"Text":"\ud83d\ude00","n":"1"}`, `[]`, `{"a":`, `{"n":1e400}`, "{\"text\":\"\x00\"}", `{"text":"\u0000"}{}`,
	} {
		f.Add([]byte(seed))
	}
	var p envelope.Parser
	f.Fuzz(func(t *testing.T, body []byte) {
		if !utf8.Valid(body) || len(body) > 1<<16 {
			t.Skip("the pipeline refuses what is no UTF-8, and what is too large, before it is read")
		}
		var all map[string]json.RawMessage
		wantErr := json.Unmarshal(body, &all) != nil || all == nil
		got, err := walk(&p, string(body))
		if (err != nil) != wantErr {
			t.Fatalf("Walk(%q) = %v, encoding/json refuses: %v", body, err, wantErr)
		}
		if err != nil {
			return
		}
		for name := range all {
			if name != "text" && len(all) > 1 {
				return // several spellings of a name may compete
			}
		}
		var want string
		if raw, ok := all["text"]; ok && json.Unmarshal(raw, &want) == nil && want != got.Text {
			t.Fatalf("Walk(%q) saw %q, want %q", body, got.Text, want)
		}
	})
}
