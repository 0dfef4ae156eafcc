package azuredevops

import (
	"maps"
	"slices"
	"strings"
)

// State categories, by which Azure Boards groups the states of all processes.
const (
	Proposed   = "Proposed"
	InProgress = "InProgress"
	Resolved   = "Resolved"
	Completed  = "Completed"
	Removed    = "Removed"
)

// Process is the set of work item types of a project.
type Process struct {
	// ID is the process template's GUID, Name its name.
	ID, Name string
	// Types are its work item types.
	Types []WorkItemType
}

// WorkItemType is a kind of work item with its states and rules.
type WorkItemType struct {
	// Name is what it is called, in the language of the collection; ReferenceName is the same everywhere.
	Name, ReferenceName string
	// Description, Color (RRGGBB) and Icon are shown by the metadata calls.
	Description, Color, Icon string
	// States are its states; a new item is in the first.
	States []State
	// Transitions are the states that can be reached from each; nil means every state from every other.
	Transitions map[string][]string
	// Reasons is the System.Reason the server sets on entering a state. Others get "Moved to state …".
	Reasons map[string]string
	// Fields are the reference names of the fields it has beyond those that every type has.
	Fields []string
	// Defaults are field values of a new item.
	Defaults map[string]any
	// Required are fields that must never be empty, besides the title. RequiredIn are fields that must not be empty
	// in a state.
	Required   []string
	RequiredIn map[string][]string
}

// State is one state of a work item type.
type State struct {
	Name, Color, Category string
}

// Basic is Microsoft's Basic process: Epic, Issue and Task with To Do, Doing and Done, any of which can follow any other.
// Its id, "To Do", "Added to backlog" and "Started" are recorded, the other texts modelled.
func Basic() Process {
	states := []State{
		{Name: "To Do", Color: "b2b2b2", Category: Proposed},
		{Name: "Doing", Color: "007acc", Category: InProgress},
		{Name: "Done", Color: "339933", Category: Completed},
	}
	reasons := map[string]string{"To Do": "Added to backlog", "Doing": "Started", "Done": "Completed"}
	kind := func(name, color, icon string, fields ...string) WorkItemType {
		return WorkItemType{
			Name: name, ReferenceName: "Microsoft.VSTS.WorkItemTypes." + name, Color: color, Icon: icon,
			States: slices.Clone(states), Reasons: maps.Clone(reasons), Fields: fields,
			Defaults: map[string]any{"Microsoft.VSTS.Common.Priority": 2},
		}
	}
	return Process{
		ID: "b8a3a935-7e91-48b8-a94c-606d37c3e9f2", Name: "Basic",
		Types: []WorkItemType{
			kind("Epic", "E06C00", "icon_crown", "Microsoft.VSTS.Scheduling.Effort", "Microsoft.VSTS.Scheduling.StartDate", "Microsoft.VSTS.Scheduling.TargetDate"),
			kind("Issue", "339947", "icon_clipboard", "Microsoft.VSTS.Scheduling.Effort"),
			kind("Task", "A4880A", "icon_clipboard", "Microsoft.VSTS.Common.Activity", "Microsoft.VSTS.Scheduling.RemainingWork"),
		},
	}
}

// Agile is Microsoft's Agile process with Bug, Task, User Story and Feature. Its transitions are made stricter than
// today's default: work must pass New → Active → Resolved → Closed (Tasks: New → Active → Closed), so that a caller
// has a refusal to meet and a path to find. Modelled.
func Agile() Process {
	bugStates := []State{
		{Name: "New", Color: "b2b2b2", Category: Proposed},
		{Name: "Active", Color: "007acc", Category: InProgress},
		{Name: "Resolved", Color: "ff9d00", Category: Resolved},
		{Name: "Closed", Color: "339933", Category: Completed},
	}
	storyStates := slices.Clone(bugStates)
	storyStates[2].Category = InProgress
	taskStates := []State{bugStates[0], bugStates[1], bugStates[3]}
	removed := State{Name: "Removed", Color: "ffffff", Category: Removed}
	storyStates, taskStates = append(storyStates, removed), append(taskStates, removed)
	reviewed := map[string][]string{
		"New": {"Active", "Removed"}, "Active": {"New", "Resolved", "Removed"}, "Resolved": {"Active", "Closed"},
		"Closed": {"Active", "Resolved"}, "Removed": {"New"},
	}
	bugMoves := map[string][]string{
		"New": {"Active"}, "Active": {"New", "Resolved"}, "Resolved": {"Active", "Closed"}, "Closed": {"Active", "Resolved"},
	}
	taskMoves := map[string][]string{
		"New": {"Active", "Removed"}, "Active": {"New", "Closed", "Removed"}, "Closed": {"Active"}, "Removed": {"New"},
	}
	reasons := map[string]string{"New": "New", "Active": "Implementation started", "Resolved": "Code complete", "Closed": "Completed", "Removed": "Removed from the backlog"}
	kind := func(name, ref, color, icon string, states []State, moves map[string][]string, defaults map[string]any, fields ...string) WorkItemType {
		all := map[string]any{"Microsoft.VSTS.Common.Priority": 2}
		maps.Copy(all, defaults)
		return WorkItemType{
			Name: name, ReferenceName: "Microsoft.VSTS.WorkItemTypes." + ref, Color: color, Icon: icon, States: states,
			Transitions: moves, Reasons: maps.Clone(reasons), Fields: fields, Defaults: all,
		}
	}
	business := map[string]any{"Microsoft.VSTS.Common.ValueArea": "Business"}
	bug := map[string]any{"Microsoft.VSTS.Common.ValueArea": "Business", "Microsoft.VSTS.Common.Severity": "3 - Medium"}
	return Process{
		ID: "adcc42ab-9882-485e-a3ed-7678f01f66bc", Name: "Agile",
		Types: []WorkItemType{
			kind("Bug", "Bug", "CC293D", "icon_insect", bugStates, bugMoves, bug, "Microsoft.VSTS.TCM.ReproSteps", "Microsoft.VSTS.TCM.SystemInfo",
				"Microsoft.VSTS.Common.Severity", "Microsoft.VSTS.Common.ValueArea", "Microsoft.VSTS.Common.ResolvedReason", "Microsoft.VSTS.Scheduling.StoryPoints", "Microsoft.VSTS.Build.FoundIn", "Microsoft.VSTS.Build.IntegrationBuild"),
			kind("Task", "Task", "F2CB1D", "icon_clipboard", taskStates, taskMoves, nil, "Microsoft.VSTS.Common.Activity",
				"Microsoft.VSTS.Scheduling.RemainingWork", "Microsoft.VSTS.Scheduling.OriginalEstimate", "Microsoft.VSTS.Scheduling.CompletedWork"),
			kind("User Story", "UserStory", "009CCC", "icon_book", storyStates, reviewed, business,
				"Microsoft.VSTS.Common.AcceptanceCriteria", "Microsoft.VSTS.Common.ValueArea", "Microsoft.VSTS.Scheduling.StoryPoints"),
			kind("Feature", "Feature", "773B93", "icon_trophy", slices.Clone(storyStates), maps.Clone(reviewed), business,
				"Microsoft.VSTS.Common.ValueArea", "Microsoft.VSTS.Scheduling.Effort", "Microsoft.VSTS.Scheduling.TargetDate"),
		},
	}
}

// Rename returns the process with its types, states and reasons called by other names, as on a collection in another
// language. Names that are not in the map stay; reference names never change.
func (p Process) Rename(names map[string]string) Process {
	called := func(s string) string {
		if n, ok := names[s]; ok {
			return n
		}
		return s
	}
	out := p
	out.Types = make([]WorkItemType, len(p.Types))
	for i, t := range p.Types {
		t.Name = called(t.Name)
		t.States = slices.Clone(t.States)
		for j := range t.States {
			t.States[j].Name = called(t.States[j].Name)
		}
		if t.Transitions != nil {
			moves := make(map[string][]string, len(t.Transitions))
			for from, to := range t.Transitions {
				renamed := make([]string, len(to))
				for j, s := range to {
					renamed[j] = called(s)
				}
				moves[called(from)] = renamed
			}
			t.Transitions = moves
		}
		reasons := make(map[string]string, len(t.Reasons))
		for state, reason := range t.Reasons {
			reasons[called(state)] = called(reason)
		}
		t.Reasons = reasons
		required := make(map[string][]string, len(t.RequiredIn))
		for state, fields := range t.RequiredIn {
			required[called(state)] = fields
		}
		t.RequiredIn = required
		out.Types[i] = t
	}
	return out
}

// state finds a state by name without regard to case.
func (t *WorkItemType) state(name string) (State, bool) {
	for _, s := range t.States {
		if strings.EqualFold(s.Name, name) {
			return s, true
		}
	}
	return State{}, false
}

// allows tells whether a work item may go from one state to another.
func (t *WorkItemType) allows(from, to string) bool {
	if from == to || t.Transitions == nil {
		return true
	}
	return slices.Contains(t.Transitions[from], to)
}

// reason is what the server writes into System.Reason on entering a state.
func (t *WorkItemType) reason(state string) string {
	if r, ok := t.Reasons[state]; ok {
		return r
	}
	return "Moved to state " + state
}
