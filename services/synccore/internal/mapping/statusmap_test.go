package mapping_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

func TestStatusMapLooksNamesUpAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	m, problems := mapping.NewStatusMap([]item.Pair{
		{State: "To Do", Status: "Development"},
		{State: "Nový", Status: "Zadáno"},
		{State: "Straße", Status: "Weiß"},
		{State: "İş", Status: "Σίσυφος"},
	})
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	for state, want := range map[string]string{
		"To Do": "Development", "to do": "Development", "  TO DO ": "Development", "To\u00a0Do": "Development", "To  Do": "Development",
		"NOVÝ": "Zadáno", "Novy\u0301": "Zadáno", "STRASSE": "Weiß", "i\u0307ş": "Σίσυφος",
	} {
		if got, ok := m.Status(state); !ok || got != want {
			t.Errorf("Status(%q) = %q, %v, want %q", state, got, ok, want)
		}
		if !m.NamesState(state) || !m.Agree(state, strings.ToUpper(want)) {
			t.Errorf("%q is not taken for mapped", state)
		}
	}
	for _, state := range []string{"", "ToDo", "To", "Development", "Novy"} {
		if got, ok := m.Status(state); ok || m.NamesState(state) || m.Agree(state, "Development") {
			t.Errorf("Status(%q) = %q, but it is not mapped", state, got)
		}
	}
	if !m.NamesStatus("σίσυφοσ") || m.NamesStatus("Testing") || m.NamesStatus("") {
		t.Error("NamesStatus is wrong")
	}
}

func TestSeveralStatesForOneStatusKeepTheirOrder(t *testing.T) {
	t.Parallel()
	pairs := []item.Pair{
		{State: "Closed", Status: "Testing"},
		{State: "New", Status: "Development"},
		{State: "Active", Status: "development "},
		{State: "Approved", Status: "DEVELOPMENT"},
	}
	m, problems := mapping.NewStatusMap(pairs)
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	if diff := cmp.Diff([]string{"New", "Active", "Approved"}, m.States("Development")); diff != "" {
		t.Errorf("States (-want +got):\n%s", diff)
	}
	if got := m.States("Nothing"); got != nil {
		t.Errorf("States of an unmapped status = %q", got)
	}
	if !m.Agree("Approved", "Development") || m.Agree("Closed", "Development") {
		t.Error("Agree is wrong")
	}
	got := m.Pairs()
	pairs[2].Status = "development"
	if diff := cmp.Diff(pairs, got); diff != "" {
		t.Errorf("Pairs (-want +got):\n%s", diff)
	}
	got[0].State = "changed"
	if m.Pairs()[0].State != "Closed" {
		t.Error("Pairs gives away the map's own memory")
	}
	var zero mapping.StatusMap
	if _, ok := zero.Status("New"); ok || zero.NamesStatus("New") || len(zero.Pairs()) > 0 {
		t.Error("the zero map maps something")
	}
}

// names draws from few names and their variants, so that collisions happen.
func names() *rapid.Generator[string] {
	base := []string{"To Do", "Doing", "Done", "Nový", "Straße", "Ready for QA", "İ", "ǰ", "ΐ", "ﬁx"}
	return rapid.Custom(func(t *rapid.T) string {
		name := rapid.OneOf(rapid.SampledFrom(base), rapid.StringN(1, 6, -1)).Draw(t, "name")
		switch rapid.IntRange(0, 4).Draw(t, "variant") {
		case 0:
			name = strings.ToUpper(name)
		case 1:
			name = strings.ToLower(name)
		case 2:
			name = " " + name + "\t"
		}
		return name
	})
}

func draw(t *rapid.T) ([]item.Pair, mapping.StatusMap, []mapping.Problem) {
	pairs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) item.Pair {
		return item.Pair{State: names().Draw(t, "state"), Status: names().Draw(t, "status")}
	}), 0, 8).Draw(t, "pairs")
	m, problems := mapping.NewStatusMap(pairs)
	return pairs, m, problems
}

func TestStatusMapIsConsistent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pairs, m, problems := draw(t)
		if len(m.Pairs())+len(problems) != len(pairs) {
			t.Fatalf("%d pairs became %d with %d problems", len(pairs), len(m.Pairs()), len(problems))
		}
		state, status := names().Draw(t, "a state"), names().Draw(t, "a status")
		mapped, ok := m.Status(state)
		if ok != m.NamesState(state) {
			t.Fatal("Status and NamesState disagree")
		}
		if m.Agree(state, status) != (ok && mapping.Same(mapped, status)) {
			t.Fatal("Agree and Status disagree")
		}
		if m.NamesStatus(status) != (len(m.States(status)) > 0) {
			t.Fatal("NamesStatus and States disagree")
		}
		// A state is among those of a status exactly if the two agree.
		among := slices.ContainsFunc(m.States(status), func(s string) bool { return mapping.Same(s, state) })
		if among != m.Agree(state, status) {
			t.Fatal("States and Agree disagree")
		}
		// The states of a status stand in declared order.
		var declared []string
		for _, p := range m.Pairs() {
			if mapping.Same(p.Status, status) {
				declared = append(declared, p.State)
			}
		}
		if !slices.Equal(declared, m.States(status)) {
			t.Fatalf("States = %q, declared %q", m.States(status), declared)
		}
	})
}

// From a status to a state and back is the same status, and going on from there
// changes nothing any more.
func TestStatusToStateAndBackIsStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		_, m, _ := draw(t)
		for _, p := range m.Pairs() {
			for _, state := range m.States(p.Status) {
				back, ok := m.Status(state)
				if !ok || !mapping.Same(back, p.Status) {
					t.Fatalf("%q -> %q -> %q", p.Status, state, back)
				}
			}
			status, _ := m.Status(p.State)
			if first := m.States(status)[0]; !m.Agree(first, status) || m.States(mustStatus(t, m, first))[0] != first {
				t.Fatalf("%q -> %q -> %q is not stable", p.State, status, first)
			}
		}
	})
}

func mustStatus(t *rapid.T, m mapping.StatusMap, state string) string {
	status, ok := m.Status(state)
	if !ok {
		t.Fatalf("%q is not mapped", state)
	}
	return status
}

// Same is an equality: what it holds for one name it holds for the other.
func TestSameIsAnEquality(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := names().Draw(t, "a"), names().Draw(t, "b"), names().Draw(t, "c")
		if !mapping.Same(a, a) || mapping.Same(a, b) != mapping.Same(b, a) {
			t.Fatal("Same is not reflexive or not symmetric")
		}
		if mapping.Same(a, b) && mapping.Same(b, c) && !mapping.Same(a, c) {
			t.Fatal("Same is not transitive")
		}
	})
}

func FuzzStatusMap(f *testing.F) {
	f.Add("To Do", "Development", "to do", "Testing")
	f.Add("", " ", "\u00a0", "\xff")
	f.Add("İ", "i\u0307", "ß", "SS")
	f.Add("ᾳ", "ΑΙ", "\u0345", "Ι")
	f.Fuzz(func(t *testing.T, state1, status1, state2, status2 string) {
		m, problems := mapping.NewStatusMap([]item.Pair{{State: state1, Status: status1}, {State: state2, Status: status2}})
		for _, p := range problems {
			if len(p.Path) != 1 || p.Text == "" || p.Remedy == "" {
				t.Fatalf("%+v", p)
			}
		}
		for _, p := range m.Pairs() {
			if !m.Agree(p.State, p.Status) || !m.Agree(" "+p.State+"\n", p.Status) {
				t.Fatalf("%+v does not agree with itself", p)
			}
			if !slices.Contains(m.States(p.Status), p.State) {
				t.Fatalf("States(%q) lacks %q", p.Status, p.State)
			}
		}
	})
}

func ExampleStatusMap() {
	m, _ := mapping.NewStatusMap([]item.Pair{
		{State: "To Do", Status: "Development"},
		{State: "Approved", Status: "Development"},
		{State: "Done", Status: "Testing"},
	})
	status, _ := m.Status("done")
	fmt.Println(status)
	fmt.Println(m.States("Development"))
	fmt.Println(m.Agree("Approved", "Development"), m.NamesStatus("Closed"))
	// Output:
	// Testing
	// [To Do Approved]
	// true false
}
