package connector

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestExamplesAreMasked: what people paste into tickets is not shown in examples, whatever
// it stands in, and what is around it is.
func TestExamplesAreMasked(t *testing.T) {
	t.Parallel()
	masks, err := exampleMasks(nil)
	if err != nil {
		t.Fatal(err)
	}
	const secret = "Gh5Jd8Ks3Lf6"
	for _, text := range []string{
		"See https://tandem:" + secret + "@build.contoso.com/x for it",
		"See redis://:" + secret + "@cache:6379/0 for it",
		"See <a href=\"ftp://a.b:" + secret + "@c\">it</a>",
		"See password: " + secret + " for it",
		"See Password=" + secret + "; for it",
		"See the password is " + secret + ", for it",
		"See heslo: " + secret + " for it",
		`See {"clientSecret": "` + secret + `"} for it`,
		"See {&quot;token&quot;:&quot;" + secret + "&quot;} for it",
		"See <b>API key:</b> " + secret + " for it",
		"See API key: <code>" + secret + "</code> for it",
		"See AccountKey=" + secret + "== for it",
		"See Authorization: Bearer " + secret + " for it",
		"See Authorization: Basic " + secret + "== for it",
	} {
		raw := map[string]any{"fields": []any{map[string]any{"value": text}}}
		shown, err := json.Marshal(masked(raw, masks))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(shown), secret) || !strings.Contains(string(shown), "See") || !strings.Contains(string(shown), "it") {
			t.Errorf("%s is shown as %s", text, shown)
		}
	}
	for _, text := range []string{"The password is", "https://contoso.com:8080/a@b", "a basic idea", "no token", "Bearer of news"} {
		if got := masks.Text(text); got != text {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
}

// TestExamplesAreMaskedByName: a field that is called so is masked whatever the form of its
// value, as Alvao tells custom fields.
func TestExamplesAreMaskedByName(t *testing.T) {
	t.Parallel()
	masks, err := exampleMasks(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`{"customItems": {"VpnPassword": {"@odata.type": "#Alvao.X", "name": "VpnPassword", "value": "7714"}}}`,
		`{"customItems": [{"name": "Heslo", "value": "7714"}]}`,
		`{"fields": {"Custom.ApiKey": 7714}}`,
		`{"secrets": ["7714", {"a": "7714"}]}`,
	} {
		var raw map[string]any
		if err := json.Unmarshal([]byte(text), &raw); err != nil {
			t.Fatal(err)
		}
		shown, err := json.Marshal(masked(raw, masks))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(shown), "7714") || !strings.Contains(string(shown), "by its name") {
			t.Errorf("%s is shown as %s", text, shown)
		}
	}
	same := map[string]any{"password": nil, "name": "Printer", "value": "7714"}
	if diff := cmp.Diff(same, masked(same, masks)); diff != "" {
		t.Error(diff)
	}
}
