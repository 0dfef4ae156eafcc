package schema_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/schema"
)

func table(change func(*schema.Key)) schema.Object {
	key := schema.Key{Name: "one", About: "The first.", Default: "1", Example: "2", Value: schema.Whole(1, 1000)}
	change(&key)
	return schema.Object{Keys: []schema.Key{
		{Name: "list", About: "Some.", Absent: "none", Example: "[{one: 3}]", Value: schema.List(2, func() schema.Object {
			return schema.Object{Name: "An entry", Keys: []schema.Key{key}}
		})},
		{Name: "word", About: "A | B.", Required: true, Example: "a", Value: schema.Words("a", "b")},
	}}
}

// TestNoKeyWithoutExplanation leaves out, one after the other, what each key must have:
// neither schema nor page is made then.
func TestNoKeyWithoutExplanation(t *testing.T) {
	t.Parallel()
	const once = "list[].one wants exactly one of: required, a default, what holds without it"
	for _, tc := range []struct {
		want   string
		change func(*schema.Key)
	}{
		{"list[].one has no description", func(k *schema.Key) { k.About = "" }},
		{"list[].one has no example", func(k *schema.Key) { k.Example = "" }},
		{"list[].one has an example that its own schema refuses", func(k *schema.Key) { k.Example = "0" }},
		{"list[].one has a default that its own schema refuses", func(k *schema.Key) { k.Default = "much" }},
		{once, func(k *schema.Key) { k.Default = "" }},
		{once, func(k *schema.Key) { k.Required = true }},
		{"list[].one does not say what may stand there", func(k *schema.Key) { k.Value = schema.Value{} }},
	} {
		want := tc.want
		broken := table(tc.change)
		if diff := cmp.Diff([]string{want}, schema.Check(broken)); diff != "" {
			t.Errorf("Check (-want +got):\n%s", diff)
		}
		if _, err := schema.JSON("x", broken); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("JSON: %v, want %q", err, want)
		}
		if _, err := schema.Markdown("x", "", broken); err == nil {
			t.Errorf("a page is made although %s", want)
		}
	}
	choice := table(func(*schema.Key) {})
	choice.Ways = [][]schema.Way{{{Needs: []string{"nothing"}}}}
	if diff := cmp.Diff([]string{"nothing is part of a choice and no key"}, schema.Check(choice)); diff != "" {
		t.Errorf("Check (-want +got):\n%s", diff)
	}
}

func TestSchemaAndPageTellTheSame(t *testing.T) {
	t.Parallel()
	root := table(func(*schema.Key) {})
	text, err := schema.JSON("A file", root)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Schema     string   `json:"$schema"`
		Required   []string `json:"required"`
		Properties struct {
			List struct {
				Items struct {
					Properties map[string]map[string]any `json:"properties"`
					Additional *bool                     `json:"additionalProperties"`
				} `json:"items"`
			} `json:"list"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	one := got.Properties.List.Items.Properties["one"]
	want := map[string]any{
		"type": "integer", "minimum": 1.0, "maximum": 1000.0, "default": 1.0, "examples": []any{2.0},
		"description": "The first.\n\nDefault: `1`\n\nExample: `2`",
	}
	if diff := cmp.Diff(want, one); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	if got.Properties.List.Items.Additional == nil || *got.Properties.List.Items.Additional || len(got.Required) != 1 || !strings.Contains(got.Schema, "draft-07") {
		t.Errorf("schema = %s", text)
	}
	page, err := schema.Markdown("A file", "Introduced.", root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# A file\n\nIntroduced.\n", "| `list` | Some.<br>*a list of objects, at most 2, see [An entry](#an-entry)* | none | `[{one: 3}]` |",
		"| `word` | A \\| B.<br>*`a`, `b`* | **required** | `a` |", "## An entry\n", "| `one` | The first.<br>*a whole number from 1 to 1,000* | `1` | `2` |",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}
