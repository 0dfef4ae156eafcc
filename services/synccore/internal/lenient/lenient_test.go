package lenient_test

import (
	"encoding/json"
	"testing"
	"time"
	_ "time/tzdata" // a machine may have no time zones

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

func TestScalars(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		i    lenient.Int
		text lenient.Text
		b    lenient.Bool
	}{
		{`12`, 12, "12", true},
		{`"12"`, 12, "12", true},
		{`" 12 "`, 12, " 12 ", true},
		{`-3`, -3, "-3", true},
		{`5.0`, 5, "5.0", true},
		{`1e3`, 1000, "1e3", true},
		{`5.5`, 0, "5.5", false},
		{`1e300`, 0, "1e300", false},
		{`0`, 0, "0", false},
		{`""`, 0, "", false},
		{`null`, 0, "", false},
		{`true`, 0, "true", true},
		{`"True"`, 0, "True", true},
		{`"False"`, 0, "False", false},
		{`"abc"`, 0, "abc", false},
		{`{"a":1}`, 0, "", false},
		{`[1]`, 0, "", false},
		{`"č\u0159"`, 0, "čř", false},
		{`9223372036854775807`, 9223372036854775807, "9223372036854775807", true},
		{`9223372036854775808`, 0, "9223372036854775808", false},
	}
	for _, tc := range tests {
		var got struct {
			I lenient.Int
			T lenient.Text
			B lenient.Bool
		}
		if err := json.Unmarshal([]byte(`{"I":`+tc.in+`,"T":`+tc.in+`,"B":`+tc.in+`}`), &got); err != nil {
			t.Errorf("%s: %v", tc.in, err)
		}
		if got.I != tc.i || got.T != tc.text || got.B != tc.b {
			t.Errorf("%s: got %d %q %v, want %d %q %v", tc.in, got.I, got.T, got.B, tc.i, tc.text, tc.b)
		}
	}
}

func TestListAndMap(t *testing.T) {
	t.Parallel()
	type thing struct {
		Name string `json:"name"`
	}
	for in, want := range map[string]lenient.List[thing]{
		`[{"name":"a"},null,7,"x",{"name":{}},{"name":"b"}]`: {{"a"}, {"b"}},
		`null`: nil, `{}`: nil, `"x"`: nil, `[]`: nil,
	} {
		got := lenient.List[thing]{{"left over"}}
		if err := json.Unmarshal([]byte(in), &got); err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
	var m lenient.Map
	if err := json.Unmarshal([]byte(`{"a":"x","b":3}`), &m); err != nil || m.Text("a") != "x" || m.Int("b") != 3 || m.Text("none") != "" {
		t.Errorf("map: %v %v", m, err)
	}
	if err := json.Unmarshal([]byte(`[1]`), &m); err != nil || len(m) != 0 {
		t.Errorf("an array as a map: %v %v", m, err)
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	prague, err := time.LoadLocation("Europe/Prague")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	tests := map[string]time.Time{
		"2026-03-04T05:06:07Z":              at,
		"2026-03-04T06:06:07+01:00":         at,
		"2026-03-04T06:06:07+0100":          at,
		"2026-03-04T06:06:07":               at, // winter in Prague
		"2026-03-04 06:06:07":               at,
		"2026-03-04T05:06:07.1234567Z":      at.Add(123456700),
		"2026-03-04T06:06:07.123":           at.Add(123 * time.Millisecond),
		"2026-07-04T07:06:00":               time.Date(2026, 7, 4, 5, 6, 0, 0, time.UTC), // summer
		"2026-03-04T06:06":                  at.Add(-7 * time.Second),
		"2026-03-04":                        time.Date(2026, 3, 3, 23, 0, 0, 0, time.UTC),
		"0001-01-01T00:00:00":               {},
		"9999-01-01T00:00:00Z":              {},
		"9999-12-31T23:59:59.9999999+00:00": {},
		"":                                  {},
		"yesterday":                         {},
	}
	for in, want := range tests {
		if got := lenient.Time(in, prague); !got.Equal(want) {
			t.Errorf("Time(%q) = %s, want %s", in, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`1`, `"1"`, `{"a":[1,{"b":"c"}]}`, `[{"name":"x"},null]`, `"\ud800"`, `1e999`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		var i lenient.Int
		var text lenient.Text
		var b lenient.Bool
		var m lenient.Map
		var l lenient.List[map[string]string]
		for _, v := range []any{&i, &text, &b, &m, &l} {
			if err := json.Unmarshal(data, v); err != nil {
				t.Errorf("%T refuses %q: %v", v, data, err)
			}
		}
		lenient.Time(string(text), nil)
	})
}
