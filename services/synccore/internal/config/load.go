package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

// MaxSize is how many bytes a configuration file may have.
const MaxSize = 4 << 20

// Load reads a configuration file. The error is a Problems that lists everything
// that is wrong; secrets are not read.
func Load(path string) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the configuration file: %w", err)
	}
	content, err := readCapped(absolute)
	if err != nil {
		return nil, Problems{{File: path, Text: reasonOf(err), Remedy: "Check the path and that the service may read the file"}}
	}
	config, err := parse(path, filepath.Dir(absolute), content)
	if err != nil {
		return nil, err
	}
	config.path = absolute
	config.fingerprint = takeFingerprint(absolute, config)
	// The file may have changed since it was read.
	config.fingerprint[absolute] = sha256.Sum256(content)
	return config, nil
}

// Parse reads a configuration that is already at hand. File is the name to report;
// relative paths of secrets stay as they are.
func Parse(file string, content []byte) (*Config, error) { return parse(file, "", content) }

func readCapped(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(content) > MaxSize {
		return nil, fmt.Errorf("the file is larger than %d MiB", MaxSize>>20)
	}
	return content, nil
}

// reasonOf leaves out the path, which the problem names already.
func reasonOf(err error) string {
	if at, ok := errors.AsType[*os.PathError](err); ok {
		return "the file can't be read: " + at.Err.Error()
	}
	return err.Error()
}

func parse(file, dir string, content []byte) (*Config, error) {
	r := &reader{file: file, dir: dir}
	config := Config{}
	if root, ok := r.parse(newDocument(content, nil), ""); ok {
		config = r.config(root)
	}
	r.problems.sort()
	fatal, warnings := r.problems.split()
	if len(fatal) > 0 {
		return nil, r.problems
	}
	config.Warnings = warnings
	return &config, nil
}

func (r *reader) config(root value) Config {
	config, connector := defaults()
	o, ok := r.object(root, fileKeys())
	if !ok {
		return config
	}
	r.text(o.get("$schema")) // for editors
	if v := o.get("publicUrl"); !v.absent() {
		if text, ok := r.text(v); ok && strings.TrimSpace(text) != "" {
			config.PublicURL, _ = r.address(v, "https://tandem.contoso.com")
		}
	}
	if v := o.get("resync"); !v.absent() {
		if resync, ok := r.object(v, resyncKeys()); ok {
			config.Resync.Interval = r.duration(resync.get("interval"), config.Resync.Interval)
		}
	}
	config.AllowVolatileRedis = r.flag(o.get("allowVolatileRedis"), false)
	config.HookSecrets = r.hookSecrets(o.get("hookSecrets"))
	if config.PublicURL != "" && o.get("hookSecrets").absent() {
		r.warn(o.get("publicUrl").at(root), "publicUrl asks for live events, but there is no hook secret to check them with",
			"Add hookSecrets: [{file: /path/of/the/secret}] with at least 32 random characters")
	}
	tokens, used := r.accessTokens(o.get("accessTokens")), map[string]bool{}
	connectors := o.get("connectors")
	if connectors.absent() {
		r.missing(o, "connectors", "Add at least one connector, or an empty list")
	}
	brakes := r.brake(o.get("brake"), connector.Brake)
	var places []value
	for _, v := range r.list(connectors) {
		if connector, ok := r.connector(v, tokens, used, brakes, hooksOf(config)); ok {
			config.Connectors = append(config.Connectors, connector)
			places = append(places, v)
		}
	}
	r.collisions(config.Connectors, places)
	config.Callers = r.callers(o.get("callers"), config.Connectors)
	if config.PublicURL != "" && len(config.HookSecrets) > 0 && !config.Callers.Edge() {
		r.warn(o.get("callers").at(o.get("publicUrl").at(root)), "publicUrl asks for live events, but nobody may bring them",
			"Add the gateway to callers, as in tokens: [{name: gateway, role: edge, secret: {file: /path/of/the/token}}]")
	}
	config.Mail = r.mail(o.get("mail"))
	r.useMail(o, config.Mail, config.Connectors, places)
	config.AccessTokens = map[string]Credential{}
	for _, t := range tokens {
		config.AccessTokens[t.index] = t.credential
		if !used[t.index] {
			r.warn(t.at, "no connector uses this token", "Remove it, or name it as AccessToken in a connector's settings")
		}
	}
	return config
}

// hooksOf are the service hooks that connectors get unless they say otherwise.
func hooksOf(c Config) Hooks {
	if c.PublicURL == "" || len(c.HookSecrets) == 0 {
		return Hooks{}
	}
	return Hooks{PublicURL: c.PublicURL, Secret: c.HookSecrets[0]}
}

// at gives v the place of o if the file has no v.
func (v value) at(o value) value {
	if v.absent() {
		v.node = o.node
	}
	return v
}

func (r *reader) hookSecrets(v value) []secret.Ref {
	items := r.list(v)
	var refs []secret.Ref
	for i, item := range items {
		if i >= mostHookSecrets {
			r.report(item, "there are more than two hook secrets", "Keep the present one and the one before it")
			break
		}
		if ref, ok := r.ref(item); ok {
			refs = append(refs, ref)
		}
	}
	return refs
}

type token struct {
	index      string
	credential Credential
	at         value
}

var tokenIndex = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})$`)

func (r *reader) accessTokens(v value) []token {
	if v.absent() {
		return nil
	}
	o, ok := r.mapping(v, nil)
	if !ok {
		return nil
	}
	var tokens []token
	for _, e := range o.entries {
		if !tokenIndex.MatchString(e.key) {
			remedy := `Write the number that settings name as AccessToken, as in "0"`
			if number, found := strings.CutPrefix(e.key, "DevOpsIntegrationToken"); found && tokenIndex.MatchString(number) {
				remedy = "Write the number alone: " + number
			}
			r.reportAt(e.value, e.name, 0, fmt.Sprintf("%q is not a token's number", e.key), remedy, false)
			continue
		}
		// A token whose reference is wrong is known all the same, so that the mistake
		// is not reported again at each connector.
		tokens = append(tokens, token{index: e.key, credential: r.token(e.value), at: e.value})
	}
	return tokens
}

var connectorName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

func (r *reader) connector(v value, tokens []token, used map[string]bool, brakes brake.Settings, hooks Hooks) (Connector, bool) {
	_, c := defaults()
	o, ok := r.object(v, connectorKeys())
	if !ok {
		return c, false
	}
	c.Name, ok = r.needed(o, "name", "Give the connector a short name, such as development")
	if ok && !connectorName.MatchString(c.Name) {
		r.report(o.get("name"), fmt.Sprintf("%q can't be a connector's name", c.Name),
			"Use small letters, digits and dashes, a letter first, at most 63 in all")
	}
	c.Alvao = r.alvao(o, c.Alvao, hooks)
	c.AzureDevOps = r.azureDevOps(o.get("azureDevOps"), hooks)
	c.PollInterval = r.duration(o.get("pollInterval"), c.PollInterval)
	c.Messages = r.messages(o.get("messages"), c.Messages)
	c.Redact = r.redact(o.get("redact"), c.Redact)
	c.Brake = r.brake(o.get("brake"), brakes)
	policy := mapping.Policy{
		Conflict:        mapping.Conflict(r.choice(o.get("conflict"), conflictWords(), string(c.Rules.Conflict))),
		ExistingTickets: mapping.ExistingTickets(r.choice(o.get("existingTickets"), existingWords(), string(c.Rules.ExistingTickets))),
	}
	if o.get("settings").absent() {
		r.missing(o, "settings", `Paste the content of Alvao's field "External Application - Connector Settings"`)
		return c, true
	}
	c.Settings, c.Rules = r.settings(o.get("settings"), c.Settings, policy, func(at value, index string) {
		for _, t := range tokens {
			if t.index == index {
				c.Token = t.credential
				used[index] = true
				return
			}
		}
		r.report(at, "there is no access token "+index, fmt.Sprintf(`Add "%s": {file: /path/of/the/token} to accessTokens`, index))
	})
	c.Notice = r.notice(o, c.Settings.SyncCommunication)
	return c, true
}

func (r *reader) alvao(connector object, a Alvao, hooks Hooks) Alvao {
	v := connector.get("alvao")
	if v.absent() {
		r.missing(connector, "alvao", "Add url, service and credentials of Alvao")
		return a
	}
	o, ok := r.object(v, alvaoKeys())
	if !ok {
		return a
	}
	if at := o.get("url"); at.absent() {
		r.missing(o, "url", "Write the address of Alvao's REST API, as in "+exampleAlvao)
	} else if a.URL, ok = r.address(at, exampleAlvao); ok {
		if strings.HasSuffix(strings.ToLower(a.URL), "/v1") {
			r.report(at, "the address goes on behind the REST API's own", "Cut /v1 off, as in "+exampleAlvao)
		}
		a.WebURL = webURL(a.URL)
	}
	if at := o.get("webUrl"); !at.absent() {
		a.WebURL, _ = r.address(at, "https://contoso.onalvao.com/Alvao")
	}
	a.Service, _ = r.needed(o, "service", "Write the name of the service as Alvao shows it")
	if at := o.get("process"); !at.absent() {
		a.Process, _ = r.filled(at)
	}
	if at := o.get("externalIdField"); !at.absent() {
		if name, ok := r.filled(at); ok {
			a.ExternalIDField = name
		}
		if strings.ContainsAny(a.ExternalIDField, " .[]$") {
			r.report(at, fmt.Sprintf("%q is not a database column name", a.ExternalIDField),
				"Write the column name that Alvao shows under Administration - Custom fields, not the field's title")
		}
	}
	a.Credentials = r.credentials(o)
	a.CAFile = r.path(o.get("caFile"))
	if at := o.get("timeZone"); !at.absent() {
		a.Location = r.location(at, a.Location)
	}
	a.Limit = r.limit(o.get("limit"), a.Limit)
	a.Hooks = r.manageHooks(o.get("manageHooks"), hooks)
	return a
}

const exampleAlvao = "https://contoso.onalvao.com/AlvaoRestApi"

func (r *reader) credentials(alvao object) Credentials {
	const remedy = "Write credentials: {username: …, password: {file: /path/of/the/password}} of an application account, or {application: …, entra: {…}}"
	v := alvao.get("credentials")
	if v.absent() {
		r.missing(alvao, "credentials", remedy)
		return Credentials{}
	}
	o, ok := r.object(v, credentialsKeys())
	if !ok {
		return Credentials{}
	}
	var c Credentials
	c.Expires = r.day(o.get("expires"))
	switch r.ways(o, "username", "entra", "managedIdentity") {
	case "entra":
		c.Entra = r.entra(o.get("entra"))
	case "managedIdentity":
		c.ManagedIdentity = r.managedIdentity(o.get("managedIdentity"))
		r.noEnd(o)
	default:
		if at := o.get("application"); !at.absent() {
			r.report(at, "application belongs to entra or managedIdentity", "Remove it, or sign in by Microsoft Entra")
		}
		return r.account(o, c)
	}
	if at := o.get("password"); !at.absent() {
		r.report(at, "password belongs to username", "Remove it")
	}
	c.Application = r.id(o, "application", "Write the Application (client) ID of Alvao's own application in Microsoft Entra")
	return c
}

// account reads a user name and its password.
func (r *reader) account(o object, c Credentials) Credentials {
	c.Username, _ = r.needed(o, "username", "Write the application account's login")
	if strings.Contains(c.Username, ":") {
		r.report(o.get("username"), "a login can't hold a colon (RFC 7617)", "Write the login alone")
	}
	if at := o.get("password"); at.absent() {
		r.missing(o, "password", "Write {file: /path/of/the/password} or {env: NAME}")
	} else {
		c.Ref, _ = r.ref(at)
	}
	return c
}

var apiVersion = regexp.MustCompile(`^[0-9]\.[0-9]$`)

func (r *reader) azureDevOps(v value, hooks Hooks) AzureDevOps {
	o, ok := r.object(v, azureDevOpsKeys())
	if !ok {
		return AzureDevOps{Hooks: hooks}
	}
	a := AzureDevOps{CAFile: r.path(o.get("caFile"))}
	a.Hooks = r.manageHooks(o.get("manageHooks"), hooks)
	if at := o.get("apiVersion"); !at.absent() {
		a.APIVersion = at.node.Value
		// 7.1 without quotes is a number and is meant all the same.
		if at.node.Kind != yaml.ScalarNode || !apiVersion.MatchString(a.APIVersion) {
			r.report(at, "it is not a version of the REST API", `Write it as "7.1"`)
		}
	}
	return a
}

// manageHooks reads whether Tandem sees to a system's webhooks.
func (r *reader) manageHooks(v value, hooks Hooks) Hooks {
	if !r.flag(v, hooks.Managed()) {
		return Hooks{}
	}
	if !hooks.Managed() {
		r.warn(v, "there are no webhooks to manage without publicUrl and hookSecrets", "Set both, or remove manageHooks")
	}
	return hooks
}

func (r *reader) location(v value, otherwise *time.Location) *time.Location {
	name, ok := r.filled(v)
	if !ok {
		return otherwise
	}
	location, err := time.LoadLocation(name)
	// The machine's own zone would differ from replica to replica.
	if err != nil || location == time.Local {
		r.report(v, fmt.Sprintf("%q is not a time zone", name), "Write its name in the IANA database, such as Europe/Prague, or UTC")
		return otherwise
	}
	return location
}

func (r *reader) limit(v value, otherwise Limit) Limit {
	o, ok := r.object(v, alvaoLimitKeys())
	if !ok {
		return otherwise
	}
	return Limit{
		PerSecond:  r.number(o.get("perSecond"), leastPerSecond, mostAlvaoPerSecond, otherwise.PerSecond),
		Concurrent: int(r.whole(o.get("concurrent"), 1, mostAlvaoConcurrent, int64(otherwise.Concurrent))),
	}
}

func (r *reader) path(v value) string {
	if v.absent() {
		return ""
	}
	path, _ := r.filled(v)
	return r.absolute(path)
}

// address reads the address of a service that other paths are put behind.
func (r *reader) address(v value, example string) (string, bool) {
	text, ok := r.filled(v)
	if !ok {
		return "", false
	}
	u, err := url.Parse(text)
	if err != nil {
		r.report(v, "it is not an address", "Write it as in "+example)
		return "", false
	}
	if err := mapping.CheckAddress(u, example); err != nil {
		r.report(v, err.Error(), mapping.Remedy(err))
		return "", false
	}
	return strings.TrimRight(u.String(), "/"), true
}

// webURL is where Alvao's web application is unless somebody says otherwise: the
// REST API's neighbour Alvao.
func webURL(api string) string {
	u, err := url.Parse(api)
	if err != nil {
		return ""
	}
	return u.JoinPath("..", "Alvao").String()
}

// collisions reports connectors that would work on the same tickets or events.
func (r *reader) collisions(connectors []Connector, places []value) {
	for i, later := range connectors {
		for j, earlier := range connectors[:i] {
			at := places[i]
			line := places[j].doc.locate(places[j].node, 0).line
			if later.Name != "" && later.Name == earlier.Name {
				name := value{doc: at.doc, node: at.node, path: at.path + ".name"}
				r.report(name, fmt.Sprintf("the name %q is taken by the connector on line %d", later.Name, line), "Give each connector a name of its own")
			}
			if !sameTickets(later.Alvao, earlier.Alvao) {
				continue
			}
			switch project := later.Rules.Project; {
			case project == mapping.Project{} || earlier.Rules.Project == mapping.Project{}:
			case project.Same(earlier.Rules.Project):
				r.report(at, fmt.Sprintf("it joins the same Alvao service and Azure DevOps project as the connector on line %d", line),
					"Keep one of the two")
			case strings.EqualFold(later.Alvao.ExternalIDField, earlier.Alvao.ExternalIDField):
				r.report(at, fmt.Sprintf("it serves the same tickets as the connector on line %d and keeps the work item's number in the same field %s",
					line, later.Alvao.ExternalIDField),
					"Set process in both, or give each an externalIdField of its own")
			}
		}
	}
}

// sameTickets tells whether a ticket can belong to both.
func sameTickets(a, b Alvao) bool {
	return a.URL != "" && strings.EqualFold(a.URL, b.URL) && a.Service != "" && mapping.Same(a.Service, b.Service) &&
		(a.Process == "" || b.Process == "" || mapping.Same(a.Process, b.Process))
}
