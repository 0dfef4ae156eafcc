package config_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/schema"
)

// compiled is the schema of the configuration file, as a validator that is not the library
// that wrote it understands it.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := config.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.schema.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// node is the root of a YAML text.
func node(t *testing.T, content string) *yaml.Node {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(content), &document); err != nil || len(document.Content) == 0 {
		t.Fatalf("%v in\n%s", err, content)
	}
	return document.Content[0]
}

// refusals are the places where a schema refuses a file: as the reader writes them,
// connectors[0].alvao.url.
func refusals(t *testing.T, s *jsonschema.Schema, root *yaml.Node) map[string]bool {
	t.Helper()
	err := s.Validate(schema.Plain(root))
	found := map[string]bool{}
	if err == nil {
		return found
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		t.Fatal(err)
	}
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		at := written(root, e.InstanceLocation)
		var keys []string
		switch k := e.ErrorKind.(type) {
		case *kind.AdditionalProperties:
			keys = k.Properties
		case *kind.Required:
			keys = k.Missing
		default:
		}
		for _, key := range keys {
			found[join(at, key)] = true
		}
		found[at] = found[at] || len(keys) == 0
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(invalid)
	return found
}

var bare = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func join(path, key string) string {
	if !bare.MatchString(key) {
		return path + "[" + strconv.Quote(key) + "]"
	}
	return strings.TrimPrefix(path+"."+key, ".")
}

// written is a place as the reader writes it.
func written(at *yaml.Node, location []string) string {
	path := ""
	for _, step := range location {
		if at.Kind == yaml.SequenceNode {
			n, err := strconv.Atoi(step)
			if err != nil || n >= len(at.Content) {
				return path
			}
			path, at = path+"["+step+"]", at.Content[n]
			continue
		}
		path = join(path, step)
		for i := 0; i+1 < len(at.Content); i += 2 {
			if at.Content[i].Value == step {
				at = at.Content[i+1]
				break
			}
		}
	}
	return path
}

// shown are the configurations that guides and files beside them show.
func shown(t *testing.T) map[string]string {
	t.Helper()
	var argo struct {
		Spec struct {
			Source struct {
				Helm struct {
					ValuesObject struct {
						Config string `yaml:"config"`
					} `yaml:"valuesObject"`
				} `yaml:"helm"`
			} `yaml:"source"`
		} `yaml:"spec"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/helm/argocd.yaml")), &argo); err != nil {
		t.Fatal(err)
	}
	whole := yamlBlocks(read(t, "README.md"))
	if len(whole) != 1 {
		t.Fatalf("README.md shows %d configurations, want 1", len(whole))
	}
	all := map[string]string{
		"README.md": whole[0], "deploy/helm/argocd.yaml": argo.Spec.Source.Helm.ValuesObject.Config, "deploy/demo": read(t, "deploy/demo/config/tandem.yaml"),
	}
	for i, part := range yamlBlocks(read(t, "deploy/README.md")) {
		all["deploy/README.md, part "+strconv.Itoa(i)] = together(t, whole[0], part)
	}
	if len(all) < 7 {
		t.Errorf("only %d configurations are shown", len(all))
	}
	for name, content := range all {
		if content == "" {
			t.Errorf("%s shows no configuration", name)
		}
	}
	return all
}

// good are all configurations that the reader takes and that are at hand.
func good(t *testing.T) map[string]string {
	t.Helper()
	all := shown(t)
	for _, name := range []string{"full.yaml", "full.masked.yaml", "defaults.masked.yaml", "every-key.yaml"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(content)
	}
	seed := seedSettings(t)
	for name, settings := range map[string]string{
		"indented": "\n" + indent(seed, "      "), "a block of text": " |\n" + indent(seed, "      "), "a quoted text": " " + strconv.Quote(seed), "an alias": " &s\n" + indent(seed, "      "),
	} {
		all["settings as "+name] = file(settings)
	}
	return all
}

func TestSchemaTakesWhatTheReaderTakes(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	for name, content := range good(t) {
		for _, problem := range problems(t, content) {
			if !problem.Warning && !strings.Contains(problem.Text, "file can't be read") {
				t.Errorf("%s is refused by the reader: %s", name, problem)
			}
		}
		for at := range refusals(t, s, node(t, content)) {
			t.Errorf("%s is refused by the schema at %q", name, at)
		}
	}
}

// TestWhatOnlyTheReaderRefuses compares both on every broken file. What the schema does not
// see stands in a golden file, so that everybody sees what an editor can't tell.
func TestWhatOnlyTheReaderRefuses(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	files, err := filepath.Glob(filepath.Join("testdata", "broken", "*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d broken files, %v", len(files), err)
	}
	var only strings.Builder
	seen := 0
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = config.Load(path)
		var all config.Problems
		if !errors.As(err, &all) {
			t.Fatalf("%s: %v", path, err)
		}
		var document yaml.Node
		if yaml.Unmarshal(content, &document) != nil || len(document.Content) == 0 {
			continue // an editor tells that it is no YAML
		}
		refused := refusals(t, s, document.Content[0])
		for _, problem := range all {
			switch {
			case problem.Warning:
			case refused[problem.Path], refused[regexp.MustCompile(`\[\d+\]$`).ReplaceAllString(problem.Path, "")]:
				seen++ // an item too many, or twice, is told at its list
			default:
				fmt.Fprintf(&only, "%s: %s: %s\n", filepath.Base(path), problem.Path, problem.Text)
			}
		}
	}
	if seen < 60 {
		t.Errorf("the schema sees only %d of the problems", seen)
	}
	golden(t, filepath.Join("broken", "reader-only.golden"), only.String())
}

// structural are the words of the reader for what a schema can see as well.
var structural = regexp.MustCompile(`^(it is (an? .*|true or false|text|empty) where .* is wanted|.* is out of range|".*" is not one of its values|the key \S+ is not known|it is missing|it is empty|` +
	`it wants exactly one of .*|a secret does not belong .*|it names no token|it holds \w+ and \w+)$`)

// TestSchemaAndReaderAgree changes every value of a file that has every key, and compares
// what both say of it.
func TestSchemaAndReaderAgree(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	content, err := os.ReadFile(filepath.Join("testdata", "every-key.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	root := node(t, string(content))
	count := 0
	for _, part := range parts(t, root) {
		count += mutate(t, s, part)
	}
	if count < 1500 {
		t.Errorf("only %d changes were compared", count)
	}
}

// parts are the file in pieces that can be read alone, so that each change is judged quickly.
func parts(t *testing.T, root *yaml.Node) []*yaml.Node {
	t.Helper()
	values := map[string]*yaml.Node{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		values[root.Content[i].Value] = root.Content[i+1]
	}
	piece := func(keys ...string) *yaml.Node {
		object := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, key := range keys {
			object.Content = append(object.Content, node(t, strconv.Quote(key)), copied(values[key]))
		}
		return object
	}
	connectors := values["connectors"].Content
	values["connectors"] = node(t, "[]")
	var all []*yaml.Node
	for key := range values {
		if key != "connectors" {
			all = append(all, piece(key, "connectors"))
		}
	}
	for _, connector := range connectors {
		values["connectors"] = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{connector}}
		values["accessTokens"] = node(t, `{"0": {env: A}, "1": {env: B}, "3": {env: C}}`)
		all = append(all, piece("accessTokens", "mail", "connectors"))
	}
	return all
}

// mutate makes the changes and gives how many there were.
func mutate(t *testing.T, s *jsonschema.Schema, root *yaml.Node) int {
	t.Helper()
	count := 0
	compare := func(path, what string) {
		t.Helper()
		count++
		text, err := yaml.Marshal(copied(root)) // it changes nodes
		if err != nil {
			t.Fatal(err)
		}
		all := problems(t, string(text))
		all = slices.DeleteFunc(all, func(p config.Problem) bool { return p.Warning || strings.Contains(p.Text, "file can't be read") })
		refused := refusals(t, s, root)
		if len(refused) > 0 && len(all) == 0 {
			t.Errorf("%s %s: the schema refuses it at %v, and the reader takes it", path, what, slices.Collect(maps.Keys(refused)))
		}
		for _, problem := range all {
			// What is within a text the schema does not see.
			if structural.MatchString(problem.Text) && problem.Within == "" && len(refused) == 0 {
				t.Errorf("%s %s: the reader says %q, and the schema takes it", path, what, problem)
			}
		}
	}
	others := []string{"[]", "{}", "null", "true", "0", "0.5", "7", "'  '", "' zzz '", "[[]]", "{zzz: 1}", "[zzz]"}
	numbers := []string{"-1", "0.01", "0.1", "1", "1000", "1001", "10000", "10001", "100000", "100001", "1000000", "1000001"}
	var visit func(path string, at *yaml.Node)
	visited := map[string]bool{}
	visit = func(path string, at *yaml.Node) {
		// What stands in several entries is changed in the first that has it.
		general := regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllString(path, "[]")
		if visited[general] && at.Kind != yaml.MappingNode {
			return
		}
		visited[general] = true
		was := *at
		tries := others
		if strings.HasSuffix(path, "]") && at.Kind == yaml.MappingNode && !strings.HasSuffix(path, "[0]") {
			tries = nil
		}
		if at.ShortTag() == "!!int" || at.ShortTag() == "!!float" {
			tries = slices.Concat(others, numbers)
		}
		for _, other := range tries {
			*at = *node(t, "["+other+"]").Content[0]
			compare(path, "as "+other)
			*at = was
		}
		switch at.Kind {
		case yaml.MappingNode:
			pairs := at.Content
			at.Content = append(slices.Clone(pairs), node(t, "zzz"), node(t, "zzz"))
			compare(path, "with an unknown key")
			for i := 0; i+1 < len(pairs); i += 2 {
				at.Content = slices.Concat(pairs[:i], pairs[i+2:])
				compare(join(path, pairs[i].Value), "left out")
			}
			at.Content = pairs
			for i := 0; i+1 < len(pairs); i += 2 {
				visit(join(path, pairs[i].Value), pairs[i+1])
			}
		case yaml.SequenceNode:
			for i, item := range at.Content {
				visit(path+"["+strconv.Itoa(i)+"]", item)
			}
		default:
		}
	}
	visit("", root)
	return count
}

// copied is a node with all that is below it.
func copied(from *yaml.Node) *yaml.Node {
	to := *from
	to.Content = make([]*yaml.Node, len(from.Content))
	for i, child := range from.Content {
		to.Content[i] = copied(child)
	}
	return &to
}

// TestEveryKeyIsShown sees that the file of the test above has every key of the tables, so
// that no row is there which nothing reads.
func TestEveryKeyIsShown(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("testdata", "every-key.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	var collect func(path string, at *yaml.Node)
	collect = func(path string, at *yaml.Node) {
		for i := 0; i+1 < len(at.Content) && at.Kind == yaml.MappingNode; i += 2 {
			name := at.Content[i].Value
			if path == "accessTokens" {
				name = "NUMBER"
			}
			there[strings.TrimPrefix(path+"."+name, ".")] = true
			collect(strings.TrimPrefix(path+"."+name, "."), at.Content[i+1])
		}
		for _, item := range at.Content {
			if at.Kind == yaml.SequenceNode {
				collect(path+"[]", item)
			}
		}
	}
	collect("", node(t, string(content)))
	for _, path := range config.KeyPaths() {
		// A secret is read by one function, wherever it stands.
		if secret := strings.HasSuffix(path, ".file") || strings.HasSuffix(path, ".env"); !there[path] && !secret {
			t.Errorf("testdata/every-key.yaml lacks %s", path)
		}
	}
}

// TestDefaultsAreTrue compares the defaults that are told with those that count.
func TestDefaultsAreTrue(t *testing.T) {
	t.Parallel()
	c := parse(t, `accessTokens: {"0": {entra: {tenant: contoso.onmicrosoft.com, clientId: 0f0e0d0c-0b0a-0908-0706-050403020100, clientSecret: {env: X}}}}
callers: {issuers: [{issuer: https://x.example, audience: a, roles: [{value: a, role: viewer}]}]}
mail: {server: smtp.contoso.com, from: a@b.cz}
connectors:
  - name: development
    alvao: {url: https://contoso.onalvao.com/AlvaoRestApi, service: Development, credentials: {username: tandem, password: {env: PASSWORD}}}
    notice: {teams: {env: TEAMS}}
    settings: {ConnectorType: AzureDevOps, URL: https://dev.azure.com/a/b, AccessToken: "0", AttributeMap: {System.Title: x, System.WorkItemType: Task}, StatusMap: {To Do: Development}}
`)
	effect := node(t, c.Masked())
	// What is not printed where it is as by default, or under another name, and so told.
	hidden := map[string]string{
		"brake.share": "told at the connector", "brake.atLeast": "told at the connector", "connectors[].settings.DisplayOpenExternalCommand": "told as ShowOpenExternalTicketCommand",
		"connectors[].messages.only": "not printed", "connectors[].messages.toAzureDevOps": "not printed", "connectors[].messages.toAlvao": "not printed",
	}
	told := config.KeyDefaults()
	if len(told) < 25 {
		t.Errorf("only %d defaults are told", len(told))
	}
	for path, want := range told {
		if hidden[path] != "" {
			continue
		}
		at := effect
		for step := range strings.SplitSeq(strings.ReplaceAll(strings.ReplaceAll(path, "NUMBER", "0"), "[]", ".[]"), ".") {
			var next *yaml.Node
			for i := 0; at != nil && i+1 < len(at.Content) && at.Kind == yaml.MappingNode; i += 2 {
				if at.Content[i].Value == step {
					next = at.Content[i+1]
				}
			}
			if at != nil && at.Kind == yaml.SequenceNode && len(at.Content) > 0 {
				next = at.Content[0]
			}
			at = next
		}
		if strings.HasPrefix(path, "connectors[].alvao.credentials.entra.") {
			continue // as at accessTokens
		}
		if at == nil {
			t.Errorf("%s is not printed", path)
			continue
		}
		got := strings.TrimSuffix(strings.TrimSuffix(at.Value, "0s"), "0m")
		if at.Value == "30s" {
			got = at.Value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the default of %s (-told +counts):\n%s", path, diff)
		}
	}
}
