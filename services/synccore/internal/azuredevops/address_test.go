package azuredevops_test

import (
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

func at(t *testing.T, url string) (*azuredevops.Client, error) {
	t.Helper()
	return azuredevops.New(azuredevops.Options{
		ProjectURL: url, Credential: azuredevops.PAT(func() (string, error) { return pat, nil }), Now: clock,
	})
}

func TestProjectURLForms(t *testing.T) {
	t.Parallel()
	tests := []struct{ url, account, project, web string }{
		{
			"https://dev.azure.com/Contoso/Alvaoproject/", "https://dev.azure.com/Contoso", "Alvaoproject",
			"https://dev.azure.com/Contoso/Alvaoproject/_workitems/edit/7",
		},
		{
			"https://contoso.visualstudio.com/My%20Project", "https://contoso.visualstudio.com", "My Project",
			"https://contoso.visualstudio.com/My%20Project/_workitems/edit/7",
		},
		{
			"https://contoso.visualstudio.com/DefaultCollection/P", "https://contoso.visualstudio.com/DefaultCollection", "P",
			"https://contoso.visualstudio.com/DefaultCollection/P/_workitems/edit/7",
		},
		{
			"https://Host.example:8080/tfs/Collection/Vývoj", "https://Host.example:8080/tfs/Collection", "Vývoj",
			"https://Host.example:8080/tfs/Collection/V%C3%BDvoj/_workitems/edit/7",
		},
		{
			"http://127.0.0.1:8088/azuredevops/contoso/Alvaoproject", "http://127.0.0.1:8088/azuredevops/contoso", "Alvaoproject",
			"http://127.0.0.1:8088/azuredevops/contoso/Alvaoproject/_workitems/edit/7",
		},
	}
	for _, tc := range tests {
		t.Run(tc.url, func(t *testing.T) {
			t.Parallel()
			c, err := at(t, tc.url)
			if err != nil {
				t.Fatal(err)
			}
			if c.AccountURL() != tc.account || c.ProjectName() != tc.project || c.WebURL(7) != tc.web {
				t.Errorf("got %q %q %q", c.AccountURL(), c.ProjectName(), c.WebURL(7))
			}
		})
	}
}

func TestUnusableProjectURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "dev.azure.com/contoso/P", "https://dev.azure.com/contoso", "https://dev.azure.com/",
		"https://dev.azure.com/contoso/P/_boards", "https://dev.azure.com/contoso/P/_boards/board", "https://dev.azure.com/a/b/c",
		"https://user:s3cret-pat@dev.azure.com/contoso/P", "https://dev.azure.com/contoso/P?x=s3cret-pat", "ftp://dev.azure.com/contoso/P",
		"https://contoso.visualstudio.com/a/b/c", "https://contoso.visualstudio.com/", "https://host/%zz", "https://host/%20",
	} {
		_, err := at(t, url)
		if err == nil {
			t.Errorf("%q is accepted", url)
			continue
		}
		wantKind(t, err, fault.Misconfigured)
	}
	_, err := azuredevops.New(azuredevops.Options{ProjectURL: projectURL})
	wantKind(t, err, fault.Misconfigured)
}

func TestCovers(t *testing.T) {
	t.Parallel()
	const id, other = "d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70", "0ffdc104-b375-4176-bdff-24bd60c84a82"
	tests := []struct {
		name, url                   string
		resolved                    bool
		account, projectID, project string
		match, known                bool
	}{
		{"exact", projectURL, false, "https://dev.azure.com/contoso/", "", "Alvaoproject", true, true},
		{"other case", projectURL, false, "https://DEV.azure.com/CONTOSO", "", "alvaoPROJECT", true, true},
		{"legacy event for new form", projectURL, false, "https://contoso.visualstudio.com/", "", "Alvaoproject", true, true},
		{"new event for legacy form", "https://Contoso.visualstudio.com/Alvaoproject", false, "https://dev.azure.com/contoso", "", "Alvaoproject", true, true},
		{"other organisation", projectURL, false, "https://dev.azure.com/fabrikam/", "", "Alvaoproject", false, true},
		{"other project", projectURL, false, "https://dev.azure.com/contoso/", "", "Other", false, true},
		{"server collection", "https://host/tfs/Coll/P", false, "http://HOST/tfs/coll/", "", "P", true, true},
		{"other collection", "https://host/tfs/Coll/P", false, "https://host/tfs/Coll2/", "", "P", false, true},
		{"id that is ours", projectURL, true, "https://dev.azure.com/contoso/", strings.ToUpper(id), "Renamed", true, true},
		{"id that is not", projectURL, true, "https://dev.azure.com/contoso/", other, "Alvaoproject", false, true},
		{"id alone", projectURL, true, "", id, "", true, true},
		{"id not resolved", projectURL, false, "https://dev.azure.com/contoso/", id, "", true, false},
		{"id not resolved, name told", projectURL, false, "https://dev.azure.com/contoso/", id, "Alvaoproject", true, true},
		{"GUID configured", "https://dev.azure.com/contoso/" + id, false, "", id, "", true, true},
		{"GUID configured, other told", "https://dev.azure.com/contoso/" + id, false, "", other, "", false, true},
		{"GUID configured, name told", "https://dev.azure.com/contoso/" + id, false, "https://dev.azure.com/contoso", "", "Alvaoproject", true, false},
		{"name alone", projectURL, false, "", "", "Alvaoproject", true, false},
		{"other name alone", projectURL, false, "", "", "Other", false, true},
		{"nothing told", projectURL, true, "", "", "", true, false},
		{"account no URL", projectURL, false, "contoso", "", "", true, false},
		{"account alone", projectURL, false, "https://dev.azure.com/contoso/", "", "", true, false},
		{"other account alone", projectURL, false, "https://dev.azure.com/fabrikam/", "", "", false, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := at(t, tc.url)
			if err != nil {
				t.Fatal(err)
			}
			if tc.resolved {
				c, _ = answering(t, projectHandler(id))
				if _, err := c.Project(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if match, known := c.Covers(tc.account, tc.projectID, tc.project); match != tc.match || known != tc.known {
				t.Errorf("Covers = %v, %v; want %v, %v", match, known, tc.match, tc.known)
			}
		})
	}
}

func FuzzProjectURL(f *testing.F) {
	for _, seed := range []string{projectURL, "https://host:8080/tfs/C/P%20Q", "https://contoso.visualstudio.com/P", "https://dev.azure.com/a/b/c", "http://[::1]/x/y/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		c, err := azuredevops.New(azuredevops.Options{ProjectURL: url, Credential: azuredevops.PAT(nil), Now: clock})
		if err != nil {
			if !fault.Is(err, fault.Misconfigured) {
				t.Errorf("%q: %v", url, err)
			}
			return
		}
		if match, _ := c.Covers(c.AccountURL(), "", c.ProjectName()); !match {
			t.Errorf("%q does not cover itself", url)
		}
	})
}
