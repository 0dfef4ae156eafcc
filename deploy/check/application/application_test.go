package application_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/deploy/check/application"
)

const folder = "../../alvao"

func TestPackageIsThatOfItsSources(t *testing.T) {
	t.Parallel()
	want, err := application.Build(folder)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(folder, application.File))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("deploy/alvao/" + application.File + " is not what its sources give; run make alvao-application")
	}
}

// parsed is the format as published packages have it (alvao.md §3.2).
type parsed struct {
	XMLName      xml.Name `xml:"AlvaoApplication"`
	ModelVersion string   `xml:"ModelVersion,attr"`
	Applications struct {
		Application []struct {
			ID          string `xml:"id,attr"`
			Name        string
			Description string
			UniqueID    string `xml:"UniqueId"`
			Version     string
			Scripts     struct {
				Script []struct {
					ID        string `xml:"id,attr"`
					Name      string
					Code      string
					IsLibCode string
				}
			}
		}
	}
}

func TestPackageHasAlvaosFormat(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(folder, application.File))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(text, []byte(`<?xml version="1.0" encoding="utf-8"?>`+"\n")) {
		t.Error("it does not begin as XML in UTF-8 does")
	}
	var p parsed
	if err := xml.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	if p.ModelVersion != "1" || len(p.Applications.Application) != 1 {
		t.Fatalf("model version %q with %d applications", p.ModelVersion, len(p.Applications.Application))
	}
	one := p.Applications.Application[0]
	number := regexp.MustCompile(`^[1-9][0-9]*$`)
	if one.Name == "" || one.Description == "" || !number.MatchString(one.ID) || !number.MatchString(one.Version) ||
		!regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(one.UniqueID) {
		t.Errorf("%+v", one)
	}
	var names, ids []string
	interfaces := map[string]bool{}
	for _, s := range one.Scripts.Script {
		names, ids = append(names, s.Name), append(ids, s.ID)
		if !number.MatchString(s.ID) || s.Name == "" || strings.TrimSpace(s.Code) == "" {
			t.Errorf("script %q with id %q and %d bytes", s.Name, s.ID, len(s.Code))
		}
		action := ""
		for _, name := range []string{"ITicketAutoAction", "IActAutoAction", "IPeriodicAction", "IEntityCommand"} {
			if regexp.MustCompile(`class \w+ : ` + name + `\b`).MatchString(s.Code) {
				action = name
				interfaces[name] = true
			}
		}
		// What implements an interface of Alvao is an action, everything else a library.
		if s.IsLibCode != map[bool]string{true: "false", false: "true"}[action != ""] {
			t.Errorf("script %s implements %q and IsLibCode is %q", s.Name, action, s.IsLibCode)
		}
	}
	if len(interfaces) != 4 {
		t.Errorf("it implements %v", interfaces)
	}
	for _, list := range [][]string{names, ids} {
		slices.Sort(list)
		if len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("twice among %v", list)
		}
	}
	elements(t, text)
}

// elements checks that nothing is there that published packages don't have.
func elements(t *testing.T, text []byte) {
	t.Helper()
	known := []string{"AlvaoApplication", "Applications", "Application", "Name", "Description", "UniqueId", "Version", "Scripts", "Script", "Code", "IsLibCode"}
	decoder := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, is := token.(xml.StartElement); is && !slices.Contains(known, start.Name.Local) {
			t.Errorf("there is an element %s", start.Name.Local)
		}
	}
}

func TestSourcesThatMakeNoPackage(t *testing.T) {
	t.Parallel()
	const fine = `{"name":"n","description":"d","uniqueId":"u","version":1,"scripts":[{"name":"A","library":true}]}`
	for name, tt := range map[string]struct{ manifest, code, more string }{
		"no manifest":         {"", "class A {}", ""},
		"no JSON":             {"{", "class A {}", ""},
		"unknown key":         {strings.Replace(fine, `"name":"n"`, `"name":"n","nmae":""`, 1), "class A {}", ""},
		"no version":          {strings.Replace(fine, `"version":1`, `"version":0`, 1), "class A {}", ""},
		"no source":           {fine, "", ""},
		"a source left over":  {fine, "class A {}", "class B {}"},
		"end of CDATA":        {fine, "var x = a[b[0]]>c;", ""},
		"carriage returns":    {fine, "class A {}\r\n", ""},
		"a byte order mark":   {fine, "\ufeffclass A {}", ""},
		"no UTF-8":            {fine, "class A {} // \xff", ""},
		"a script without it": {strings.Replace(fine, `{"name":"A"`, `{"name":"C"},{"name":"A"`, 1), "class A {}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "source"), 0o755); err != nil {
				t.Fatal(err)
			}
			for file, text := range map[string]string{"application.json": tt.manifest, "source/A.cs": tt.code, "source/B.cs": tt.more} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if made, err := application.Build(dir); err == nil {
				t.Errorf("made %s", made)
			}
		})
	}
}

// TestTheGuideTellsEverySetting holds the guide's table against what the application
// reads, both ways, and its links and targets against what is there.
func TestTheGuideTellsEverySetting(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	names := func(pattern, text string) []string {
		var found []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			found = append(found, m[1])
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	guide, settings := read("README.md"), read("source/Settings.cs")
	told := names("(?m)^\\| `(Tandem\\w+?)0?` \\|", guide)
	used := names(`(?:Get|Flag)\(values, "(Tandem\w+)"`, settings)
	if !slices.Equal(told, used) || len(used) < 10 {
		t.Errorf("the guide tells %q, the application reads %q", told, used)
	}
	for _, name := range names("`(Tandem[A-Z]\\w+?)[01]?`", guide) {
		if !slices.Contains(used, name) {
			t.Errorf("there is no setting %s", name)
		}
	}
	for _, link := range names(`\]\(([^)#\s]+)`, guide) {
		if _, err := os.Stat(filepath.Join(folder, link)); err != nil && !strings.Contains(link, "://") {
			t.Errorf("the link %s leads nowhere", link)
		}
	}
	makefile := read("../../Makefile")
	for _, target := range names("`make ([a-z0-9-]+)`", guide) {
		if !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("there is no make %s", target)
		}
	}
	commands := read("../../services/synccore/cmd/synccore/commands.go")
	for _, command := range names("`synccore ([a-z-]+)", guide) {
		if !strings.Contains(commands, `Use: "`+command) {
			t.Errorf("there is no synccore %s", command)
		}
	}
	// The limits that the guide tells are those that are kept.
	for file, want := range map[string]string{
		"source/Database.cs": "MaxHtml = 512 * 1024, MaxPlain = 128 * 1024",
		"source/Gateway.cs":  "TimeSpan.FromSeconds(5)",
		"source/Outbox.cs":   "TimeSpan.FromMinutes(15)",
		"../../services/gateway/internal/alvao/record.go":      "longestHTML       = 512 << 10",
		"../../services/gateway/internal/alvao/application.go": "Window = 5 * time.Minute",
	} {
		if !strings.Contains(read(file), want) {
			t.Errorf("%s has no %s any more, which the guide tells", file, want)
		}
	}
}
