package azuredevops_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// TestCheckHooks: only subscriptions that lead to this connector count. The shape is
// that of the specification's example, the statuses are those of its enumeration.
func TestCheckHooks(t *testing.T) {
	t.Parallel()
	const ours = "https://tandem.example/hooks/azure-devops/development"
	hook := func(address, status string) string {
		return fmt.Sprintf(`{"id":"x","status":%q,"eventType":"workitem.updated","publisherInputs":{"projectId":""},"consumerInputs":{"url":%q}}`, status, address)
	}
	for name, tc := range map[string]struct {
		status int
		hooks  []string
		want   item.Severity
		says   string
	}{
		"on":                     {200, []string{hook(ours, "enabled")}, item.OK, "All 1"},
		"on, for all connectors": {200, []string{hook("https://tandem.example/hooks/azure-devops/", "enabled")}, item.OK, "All 1"},
		"on, as Alvao's manual":  {200, []string{hook("https://tandem.example/AlvaoRestApi/Connectors/DevOpsCallback", "enabled")}, item.OK, "All 1"},
		"Alvao's own connector":  {200, []string{hook("https://contoso.onalvao.com/AlvaoRestApi/Connectors/DevOpsCallback", "enabled")}, item.Warning, "No service hook"},
		"of another connector":   {200, []string{hook("https://tandem.example/hooks/azure-devops/sales", "disabledBySystem")}, item.Warning, "No service hook"},
		"of somebody else":       {200, []string{hook("https://elsewhere.example/x", "onProbation")}, item.Warning, "No service hook"},
		"of another project":     {200, []string{strings.Replace(hook(ours, "enabled"), `"projectId":""`, `"projectId":"11111111-1111-1111-1111-111111111111"`, 1)}, item.Warning, "No service hook"},
		"none":                   {200, nil, item.Warning, "No service hook"},
		"on probation":           {200, []string{hook(ours, "enabled"), hook(ours, "onProbation")}, item.Warning, "on probation"},
		"by a person":            {200, []string{hook(ours, "disabledByUser")}, item.Warning, "by a person"},
		"by the system":          {200, []string{hook(ours, "disabledBySystem")}, item.Warning, "by Azure DevOps"},
		"creator left":           {200, []string{hook(ours, "disabledByInactiveIdentity")}, item.Warning, "not active any more"},
		"twice the same":         {200, []string{hook(ours, "onProbation"), hook(ours, "onProbation")}, item.Warning, "on probation"},
		"no right":               {403, nil, item.OK, "may not see"},
		"no scope":               {401, nil, item.OK, "may not see"},
		"trouble":                {500, nil, item.Error, "error (500)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/projects/Alvaoproject"):
					answerJSON(w, http.StatusOK, `{"id":"d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70","name":"Alvaoproject"}`)
				default:
					answerJSON(w, tc.status, `{"value":[`+strings.Join(tc.hooks, ",")+`]}`)
				}
			})
			if _, err := c.Project(t.Context()); err != nil {
				t.Fatal(err)
			}
			found := c.CheckHooks(t.Context(), azuredevops.Wants{Connector: "development", DeskHost: "contoso.onalvao.com"})
			if len(found) != 1 || found[0].Severity != tc.want || !strings.Contains(found[0].Detail, tc.says) || (found[0].Remedy == "") != (tc.want == item.OK) {
				t.Errorf("%+v", found)
			}
			sentence(t, found[0].Detail)
			asked := s.all()[1]
			if asked.method != http.MethodGet || asked.path != "/contoso/_apis/hooks/subscriptions" || !strings.Contains(asked.query, "consumerId=webHooks") {
				t.Errorf("asked %+v", asked)
			}
		})
	}
}
