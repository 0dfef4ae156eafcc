package ctl_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
)

// words are a command's.
func words(line string) []string { return strings.Fields(line) }

// TestAtTheTerminal is a person at work: over TLS, with a token, with each command.
func TestAtTheTerminal(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Printer is on fire", "Development")
	w.eventually(t, "a link", func() bool {
		_, err := w.run(t, nil, "links", "watch", ticket, "--until", "active")
		return err == nil
	})
	w.says(t, words("links list --state active"), ticket, "Development / To Do")
	w.says(t, words("links show "+ticket), "Ticket "+ticket, "Work item 1", "active since")
	w.says(t, words("links history "+ticket), "WHAT", "created")
	w.says(t, words("explain "+ticket), "link")
	w.says(t, words("preview "+ticket), "A Task for ticket "+ticket, "Printer is on fire", "nothing would be")
	w.says(t, words("connectors check"), "azure-devops.token", "ok")
	w.says(t, words("resync start"), "succeeded")
	w.says(t, words("resync list"), "succeeded")

	t.Run("diff", func(t *testing.T) {
		t.Parallel()
		w.says(t, []string{"diff", w.path("draft.json")}, ticket, "System.Title", "ALVAO: Printer is on fire", "1 of 1 tickets differ.")
		w.says(t, []string{"diff", w.path("draft.json"), "--days", "30", "--limit", "1", "-o", "json"}, `"differingCount": 1`)
		w.fails(t, nil, []string{"diff", w.path("draft.json"), "--days", "9999"}, "days must be from 1 to 90")
		w.fails(t, nil, []string{"diff", w.path("nowhere")}, "no such file")
		bad := w.write(t, "bad.json", `{"ConnectorType": 1, "Foo": 2}`)
		w.fails(t, nil, []string{"diff", bad}, "\n  settings.URL: it is missing", "\n  settings.Foo: the key Foo is not known")
		large := w.write(t, "large.json", strings.Repeat(" ", 1<<20+1))
		w.fails(t, nil, []string{"diff", large}, "larger than 1 MiB")
	})
	t.Run("test", func(t *testing.T) {
		t.Parallel()
		good := w.write(t, "good.yaml", `
- name: a printer becomes a task
  given: {title: Printer, status: Development}
  expect: {type: Task, state: To Do, fields: {System.Title: Printer}, warnings: 0}
`)
		w.says(t, []string{"test", good}, "pass", "a printer becomes a task", "0 of 1 failed.")
		out := w.shows(t, []string{"test", good, "--settings", w.path("draft.json")}, "fail", `System.Title is "ALVAO: Printer", want "Printer"`, "1 of 1 failed.")
		if strings.Contains(out, "pass") {
			t.Errorf("a test that fails passes:\n%s", out)
		}
		for _, form := range []string{"json", "yaml"} {
			var results []struct {
				File, Name string
				Passed     bool
				Wrong      []string
			}
			out := w.shows(t, []string{"test", good, "--settings", w.path("draft.json"), "-o", form})
			if err := yaml.Unmarshal([]byte(out), &results); err != nil || len(results) != 1 || results[0].Passed || len(results[0].Wrong) != 1 || results[0].File != good {
				t.Errorf("as %s: %v, %+v\n%s", form, err, results, out)
			}
		}
		w.fails(t, nil, []string{"test", w.write(t, "a.yaml", "- name: x\n  givn: {}\n")}, "line 2", "givn is not known")
		w.fails(t, nil, []string{"test", w.write(t, "b.yaml", "- name: x\n  given: {titel: y}\n")}, `test "x"`, `unknown field "titel"`)
		w.fails(t, nil, []string{"test", w.write(t, "c.yaml", "name: x\n")}, "a list is wanted")
		w.fails(t, nil, []string{"test", w.path("nowhere")}, "no such file")
	})
	t.Run("examples", func(t *testing.T) {
		t.Parallel()
		for _, form := range []string{"table", "yaml", "json"} {
			var all struct {
				Tickets   []map[string]any `yaml:"tickets"`
				WorkItems []map[string]any `yaml:"workItems"`
			}
			if err := yaml.Unmarshal([]byte(w.says(t, words("examples -o "+form))), &all); err != nil || len(all.Tickets) != 1 || len(all.WorkItems) != 1 {
				t.Errorf("as %s: %v, %+v", form, err, all)
			}
		}
	})
	t.Run("preview", func(t *testing.T) {
		t.Parallel()
		w.says(t, []string{"preview", "--sample", "{title: A printer, status: Development}"}, "A printer", "created in To Do.")
		w.shows(t, []string{"preview", "--sample", "{title: A, status: Nope}"}, `"Nope" is not in the StatusMap`)
		w.fails(t, nil, []string{"preview", "--sample", "{titel: A}"}, `unknown field "titel"`)
		w.fails(t, nil, words("preview"), "give the number of a ticket, or --sample")
		w.fails(t, nil, words("preview 99999"), "does not exist")
	})
	t.Run("output", func(t *testing.T) {
		t.Parallel()
		for _, line := range []string{"connectors list", "links list", "links show " + ticket, "links history " + ticket, "explain " + ticket, "preview " + ticket, "resync list", "dead-letters list", "connectors check"} {
			var asJSON, asYAML any
			if err := json.Unmarshal([]byte(w.says(t, words(line+" -o json"))), &asJSON); err != nil {
				t.Errorf("%s as JSON: %v", line, err)
			}
			if err := yaml.Unmarshal([]byte(w.says(t, words(line+" -o yaml"))), &asYAML); err != nil {
				t.Errorf("%s as YAML: %v", line, err)
			}
			if strings.Contains(w.says(t, words(line)), "{") {
				t.Errorf("%s is no table", line)
			}
		}
		w.fails(t, nil, words("links list -o xml"), "--output must be table, json or yaml")
		w.fails(t, nil, words("links list --color sometimes"), "--color must be auto, always or never")
		if out := w.says(t, words("links list --color always")); !strings.Contains(out, "\x1b[") {
			t.Errorf("there is no colour in %q", out)
		}
	})
	t.Run("create", func(t *testing.T) {
		t.Parallel()
		w.fails(t, nil, words("links create "+ticket+" 1"), "has role operator", "takes admin")
		boss := *w
		boss.env = maps.Clone(w.env)
		boss.env["TANDEM_TOKEN_FILE"] = w.path("admin")
		boss.says(t, words("links create "+ticket+" 1 --dry-run"), "can be linked")
		boss.says(t, words("links create "+ticket+" 1 --request-id r1"), "Work item 1")
		boss.says(t, words("links create "+ticket+" 1 --request-id r1"), "Work item 1")
		boss.fails(t, nil, words("links create "+ticket+" 2 --request-id r1"), "was used for another request")
		boss.fails(t, nil, words("links create "+ticket+" 77 --request-id r2"), ticket)
		boss.fails(t, nil, words("links create "+ticket+" x"), "both must be numbers")
		boss.fails(t, nil, words("links create "+ticket), "tandemctl links create TICKET WORK-ITEM")
	})
}

// TestDeadLetters finds what was given up, and serves it again once the cause is gone.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.says(t, words("dead-letters list"), "There are none.")
	if _, err := w.Faults.Add(fault.Rule{Method: "POST", Path: "/azuredevops/**/workitems/$*", Kind: fault.KindStatus, Status: 400, Body: `{"message":"VS402625: planted"}`}); err != nil {
		t.Fatal(err)
	}
	ticket := w.ticket(t, "Doomed", "Development")
	var letter string
	w.eventually(t, "a dead letter", func() bool {
		letter = regexp.MustCompile(`connectors/development/events/\S+`).FindString(w.says(t, words("dead-letters list")))
		return letter != ""
	})
	w.says(t, words("dead-letters list"), "ticket "+ticket, "dead", "planted")
	w.says(t, words("dead-letters list -o json"), `"name": "`+letter+`"`)
	w.says(t, words("__complete dead-letters replay connectors/"), letter)
	w.Faults.Clear()
	w.says(t, []string{"dead-letters", "replay", letter}, letter+" is served now.")
	w.says(t, words("links watch "+ticket+" --until active"), "active")
	w.says(t, words("dead-letters list"), "There are none.")
	w.fails(t, nil, words("dead-letters replay nix"), "no event nix")
	w.fails(t, nil, words("dead-letters list --state foo"), "--state must be")
	w.fails(t, nil, words("dead-letters replay"), "tandemctl dead-letters replay EVENT...")
}

// TestTheWayThere: what is wrong with the way to sync-core, with the token or with the
// command is told in a sentence with what to do.
func TestTheWayThere(t *testing.T) {
	t.Parallel()
	w := setup(t)
	list := words("connectors list")
	with := func(pairs ...string) map[string]string {
		env := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			env[pairs[i]] = pairs[i+1]
		}
		return env
	}
	name, key, err := w.certificates.Issue("client", "reports.contoso.com")
	if err != nil {
		t.Fatal(err)
	}
	multi := w.write(t, "multi", operator+"\nsecond line\n")

	// By flags, by variables, and with a certificate in place of a token.
	w.says(t, append(list, "--address", w.address, "--ca-file", w.certificates.CA, "--server-name", "localhost", "--token-file", w.path("viewer")), "development")
	if out, err := w.run(t, with("TANDEM_TOKEN_FILE", "", "TANDEM_CERT_FILE", w.certificates.Gateway, "TANDEM_KEY_FILE", w.certificates.GatewayKey), list...); err != nil {
		t.Errorf("with a certificate: %v\n%s", err, out)
	}
	for _, tc := range []struct {
		what string
		env  map[string]string
		args []string
		want []string
	}{
		{"no token", with("TANDEM_TOKEN_FILE", ""), list, []string{"Give a token with --token-file."}},
		{"a wrong token", with("TANDEM_TOKEN_FILE", w.write(t, "wrong", strings.Repeat("x", 40))), list, []string{"The token shown is that of"}},
		{"a token's file of two lines", with("TANDEM_TOKEN_FILE", multi), list, []string{"token", "multi", "in one line"}},
		{"no token's file", with("TANDEM_TOKEN_FILE", w.path("none")), list, []string{"no such file"}},
		{"a certificate of nobody's", with("TANDEM_TOKEN_FILE", "", "TANDEM_CERT_FILE", name, "TANDEM_KEY_FILE", key), list, []string{"."}},
		{"a role that does not do", with("TANDEM_TOKEN_FILE", w.path("viewer")), words("resync start"), []string{"role viewer", "takes operator"}},
		{"the authority is not known", with("TANDEM_CA_FILE", ""), list, []string{"--ca-file", "authority"}},
		{"another name", nil, append(list, "--server-name", "elsewhere"), []string{"--server-name"}},
		{"plaintext to TLS", with("TANDEM_CA_FILE", ""), append(list, "--insecure-grpc"), []string{"plaintext", "leave --insecure-grpc out"}},
		{"plaintext and certificates", nil, append(list, "--insecure-grpc"), []string{"--insecure-grpc and certificate files contradict"}},
		{"a variable that is no word", with("TANDEM_INSECURE_GRPC", "perhaps"), list, []string{"TANDEM_INSECURE_GRPC must be true or false"}},
		{"nothing there", with("TANDEM_ADDRESS", "127.0.0.1:1"), list, []string{"Nothing listens at 127.0.0.1:1", "--address"}},
		{"no address", with("TANDEM_ADDRESS", "a:b:1"), list, []string{"no address", "--address"}},
		{"no authority's file", with("TANDEM_CA_FILE", w.path("none")), list, []string{"no such file"}},
		{"a file that is no authority", with("TANDEM_CA_FILE", w.path("operator")), list, []string{"no certificate authority in PEM"}},
		{"a certificate without its key", with("TANDEM_CERT_FILE", name), list, []string{"a certificate and its key"}},
		{"a connector that there is not", nil, words("links list -c nope"), []string{`"nope"`}},
		{"a command that there is not", nil, words("linx"), []string{"linx", "tandemctl"}},
		{"a command of a group that there is not", nil, words("links lisst"), []string{`tandemctl links has no command "lisst"; did you mean list?`}},
		{"a flag that there is not", nil, words("links list --stat x"), []string{"--stat", "tandemctl links list"}},
		{"a state that there is not", nil, words("links list --state x"), []string{"--state must be", `"x"`}},
		{"a ticket that is none", nil, words("links show abc"), []string{`"abc" is no ticket number`}},
		{"a ticket without a link", nil, words("links show 77"), []string{"Ticket 77 has no link"}},
		{"a filter that is none", nil, []string{"links", "list", "--filter", "foo = 1"}, []string{"filter may compare only"}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			w.fails(t, tc.env, tc.args, tc.want...)
		})
	}
}

// TestTabKey: a shell offers commands, the words of flags, connectors, tickets and events.
func TestTabKey(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Printer is on fire", "Development")
	w.says(t, words("links watch "+ticket+" --until active"), "active")
	for line, want := range map[string]string{
		"links ": "create\t", "links list --state ": "parked", "links list -o ": "yaml", "connectors list --color ": "never", "links list -c ": "development",
		"links show ": ticket + "\tactive", "explain ": ticket, "explain --as ": "work-item", "dead-letters list --state ": "waiting", "links watch --until ": "gone",
	} {
		args := append([]string{"__complete"}, strings.Split(line, " ")...)
		w.says(t, args, want)
	}
	// Nothing is offered, and nothing breaks, where sync-core can't be asked.
	if out, err := w.run(t, map[string]string{"TANDEM_ADDRESS": "127.0.0.1:1"}, "__complete", "links", "show", ""); err != nil || strings.Contains(out, "\t") {
		t.Errorf("%v, %q", err, out)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		w.says(t, words("completion "+shell), "tandemctl")
	}
}
