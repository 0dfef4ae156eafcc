package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/nearest"
	"github.com/tandem-sync/tandem/services/synccore/internal/schema"
	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

// value is a node of the file together with where it is. A nil node means that the
// file has none there.
type value struct {
	doc  *document
	node *yaml.Node
	path string
}

func (v value) absent() bool { return v.node == nil }

// entry is one key of an object with its value.
type entry struct {
	key   string
	name  *yaml.Node
	value value
}

// object is a mapping in the order written, each key once.
type object struct {
	value

	entries []entry
}

// get gives the value of a key; absent if there is none.
func (o object) get(key string) value {
	for _, e := range o.entries {
		if e.key == key {
			return e.value
		}
	}
	return value{doc: o.doc, path: o.path + step(key)}
}

// reader takes typed values out of nodes and collects what is wrong with them.
type reader struct {
	file string
	// dir is what relative file names are relative to.
	dir      string
	problems Problems
}

func (r *reader) report(v value, text, remedy string) { r.reportAt(v, v.node, 0, text, remedy, false) }

func (r *reader) warn(v value, text, remedy string) { r.reportAt(v, v.node, 0, text, remedy, true) }

func (r *reader) reportAt(v value, node *yaml.Node, offset int, text, remedy string, warning bool) {
	problem := Problem{File: r.file, Path: strings.TrimPrefix(v.path, "."), Text: text, Remedy: remedy, Warning: warning}
	if node != nil {
		problem = problem.at(v.doc.locate(node, offset))
	}
	r.problems = append(r.problems, problem)
}

// missing reports an absent key at the object that lacks it.
func (r *reader) missing(o object, key, remedy string) {
	r.reportAt(value{doc: o.doc, path: o.path + step(key)}, o.node, 0, "it is missing", remedy, false)
}

// object reads a mapping with the keys of a table.
func (r *reader) object(v value, table schema.Object) (object, bool) {
	return r.mapping(v, table.Names())
}

// mapping reads a mapping whose keys are known; nil: any key will do.
func (r *reader) mapping(v value, keys []string) (object, bool) {
	o := object{value: v}
	if v.absent() {
		return o, false
	}
	if v.node.Kind != yaml.MappingNode {
		r.report(v, "it is "+kindOf(v.node)+" where an object is wanted", "Write it as {…} or as indented keys")
		return o, false
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		name, node := v.node.Content[i], resolve(v.node.Content[i+1])
		key := name.Value
		child := value{doc: v.doc, node: node, path: v.path + step(key)}
		if name.Kind != yaml.ScalarNode {
			r.reportAt(v, name, 0, "a key is not a plain name", "Write keys as plain text", false)
			continue
		}
		if len(keys) > 0 && !slices.Contains(keys, key) {
			r.reportAt(child, name, 0, fmt.Sprintf("the key %s is not known", key), unknownRemedy(key, keys), false)
			continue
		}
		// Keys that stand twice were reported when the document was read.
		if !seen[key] {
			seen[key] = true
			o.entries = append(o.entries, entry{key: key, name: name, value: child})
		}
	}
	return o, true
}

func unknownRemedy(key string, keys []string) string {
	switch key {
	case "BeginState", "EndState", "WorkItemEndState":
		return "It belongs to Alvao before version 26; use StatusMap, which maps every state"
	case "<<":
		return "Merge keys are not supported; write the keys out"
	}
	if near := nearest.Name(key, keys); near != "" {
		return "Did you mean " + near + "?"
	}
	return "Remove it; known here are " + strings.Join(keys, ", ")
}

// list reads a sequence.
func (r *reader) list(v value) []value {
	if v.absent() {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		r.report(v, "it is "+kindOf(v.node)+" where a list is wanted", "Write it as […] or as lines that begin with a dash")
		return nil
	}
	items := make([]value, len(v.node.Content))
	for i, node := range v.node.Content {
		items[i] = value{doc: v.doc, node: resolve(node), path: v.path + "[" + strconv.Itoa(i) + "]"}
	}
	return items
}

// text reads a string; empty and false if there is none or it is of another kind.
func (r *reader) text(v value) (string, bool) {
	if v.absent() {
		return "", false
	}
	if v.node.Kind != yaml.ScalarNode {
		r.report(v, "it is "+kindOf(v.node)+" where text is wanted", "Write one text")
		return "", false
	}
	switch v.node.Tag {
	case "!!str":
		return v.node.Value, true
	case "!!null":
		r.report(v, "it is empty", "Give it a value or remove it")
	default:
		r.report(v, "it is "+kindOf(v.node)+" where text is wanted", "Put it in quotes: "+strconv.Quote(v.node.Value))
	}
	return "", false
}

// filled reads a string of which something is left without the blanks around it.
func (r *reader) filled(v value) (string, bool) {
	text, ok := r.text(v)
	if text = strings.TrimSpace(text); ok && text == "" {
		r.report(v, "it is empty", "Give it a value")
		return "", false
	}
	return text, ok
}

// needed is filled, and reports the key as missing if it is.
func (r *reader) needed(o object, key, remedy string) (string, bool) {
	v := o.get(key)
	if v.absent() {
		r.missing(o, key, remedy)
		return "", false
	}
	return r.filled(v)
}

func (r *reader) flag(v value, otherwise bool) bool {
	if v.absent() {
		return otherwise
	}
	b, err := strconv.ParseBool(strings.ToLower(v.node.Value))
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!bool" || err != nil {
		r.report(v, "it is "+kindOf(v.node)+" where true or false is wanted", "Write true or false, without quotes")
		return otherwise
	}
	return b
}

// number reads a number between least and most.
func (r *reader) number(v value, least, most, otherwise float64) float64 {
	if v.absent() {
		return otherwise
	}
	remedy := fmt.Sprintf("Write a number from %g to %g", least, most)
	if v.node.Kind != yaml.ScalarNode || (v.node.Tag != "!!int" && v.node.Tag != "!!float") {
		r.report(v, "it is "+kindOf(v.node)+" where a number is wanted", remedy)
		return otherwise
	}
	// The comparison also refuses .nan.
	number, err := strconv.ParseFloat(v.node.Value, 64)
	if err != nil || !(number >= least && number <= most) {
		r.report(v, v.node.Value+" is out of range", remedy)
		return otherwise
	}
	return number
}

// whole reads a whole number between least and most.
func (r *reader) whole(v value, least, most, otherwise int64) int64 {
	if v.absent() {
		return otherwise
	}
	remedy := fmt.Sprintf("Write a whole number from %d to %d", least, most)
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!int" {
		r.report(v, "it is "+kindOf(v.node)+" where a whole number is wanted", remedy)
		return otherwise
	}
	number, err := strconv.ParseInt(v.node.Value, 10, 64)
	if err != nil || number < least || number > most {
		r.report(v, v.node.Value+" is out of range", remedy)
		return otherwise
	}
	return number
}

func (r *reader) duration(v value, otherwise time.Duration) time.Duration {
	if v.absent() {
		return otherwise
	}
	const remedy = "Write a number with its unit, such as 30s, 5m or 1h"
	if v.node.Kind != yaml.ScalarNode {
		r.report(v, "it is "+kindOf(v.node)+" where a time span is wanted", remedy)
		return otherwise
	}
	d, err := time.ParseDuration(strings.TrimSpace(v.node.Value))
	switch {
	case err != nil:
		r.report(v, fmt.Sprintf("%q is not a time span", v.node.Value), remedy)
		return otherwise
	case d < time.Second:
		r.report(v, "it is shorter than one second", "Write a longer time, such as 30s")
		return otherwise
	}
	return d
}

// choice reads one of a few words.
func (r *reader) choice(v value, words []string, otherwise string) string {
	if v.absent() {
		return otherwise
	}
	word, ok := r.text(v)
	if !ok || slices.Contains(words, word) {
		if ok {
			return word
		}
		return otherwise
	}
	remedy := "Write " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	if near := nearest.Name(word, words); near != "" {
		remedy = "Did you mean " + near + "?"
	}
	r.report(v, fmt.Sprintf("%q is not one of its values", word), remedy)
	return otherwise
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ref reads where a secret is: {file: …} or {env: …}.
func (r *reader) ref(v value) (secret.Ref, bool) {
	if v.absent() {
		return secret.Ref{}, false
	}
	if v.node.Kind == yaml.ScalarNode {
		// The text may be the secret itself, so it is not repeated.
		r.report(v, "a secret does not belong into this file", "Put it into a file of its own and write {file: /path/of/the/secret}, or {env: NAME}")
		return secret.Ref{}, false
	}
	o, ok := r.object(v, secretKeys())
	if !ok {
		return secret.Ref{}, false
	}
	return r.place(v, o)
}

// place reads file or env of an object that has either.
func (r *reader) place(v value, o object) (secret.Ref, bool) {
	const remedy = "Write {file: /path/of/the/secret} or {env: NAME}"
	file, env := o.get("file"), o.get("env")
	switch {
	case file.absent() == env.absent():
		r.report(v, "it wants exactly one of file and env", remedy)
		return secret.Ref{}, false
	case env.absent():
		path, ok := r.filled(file)
		return secret.Ref{File: r.absolute(path)}, ok
	default:
		name, ok := r.filled(env)
		if ok && !envName.MatchString(name) {
			r.report(env, fmt.Sprintf("%q is not the name of an environment variable", name), "Write the name alone, without $")
			return secret.Ref{}, false
		}
		return secret.Ref{Env: name}, ok
	}
}

// absolute resolves a path against the configuration file's folder.
func (r *reader) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) || r.dir == "" {
		return path
	}
	return filepath.Join(r.dir, path)
}

// embedded gives v itself if it is an object, or the object that its text holds.
func (r *reader) embedded(v value) (value, bool) {
	if v.absent() || v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!str" {
		return v, true
	}
	doc := newDocument([]byte(v.node.Value), &v)
	root, ok := r.parse(doc, v.path)
	return root, ok
}

// parse reads a document and reports what keeps it from being read at all, and
// every key that stands twice in one object.
func (r *reader) parse(doc *document, path string) (value, bool) {
	node, failure := doc.load()
	if failure != nil {
		problem := Problem{File: r.file, Path: strings.TrimPrefix(path, "."), Text: failure.text, Remedy: failure.remedy}
		r.problems = append(r.problems, problem.at(doc.place(failure.line, failure.column)))
		return value{doc: doc, path: path}, false
	}
	root := value{doc: doc, node: node, path: path}
	r.duplicates(root)
	return root, true
}

// duplicates walks the nodes as written; aliases are not followed, so that a
// mistake is reported once and a cycle ends.
func (r *reader) duplicates(v value) {
	switch v.node.Kind {
	case yaml.MappingNode:
		first := map[string]*yaml.Node{}
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			name := v.node.Content[i]
			child := value{doc: v.doc, node: v.node.Content[i+1], path: v.path + step(name.Value)}
			if other, twice := first[name.Value]; twice && name.Kind == yaml.ScalarNode {
				r.reportAt(child, name, 0, fmt.Sprintf("the key %s stands here a second time, after %s", name.Value, v.doc.locate(other, 0)),
					"Keep one of the two", false)
			} else {
				first[name.Value] = name
			}
			r.duplicates(child)
		}
	case yaml.SequenceNode:
		for i, node := range v.node.Content {
			r.duplicates(value{doc: v.doc, node: node, path: v.path + "[" + strconv.Itoa(i) + "]"})
		}
	default:
	}
}

// resolve follows an alias to what it stands for.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}

var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// step is how a key is written in a path.
func step(key string) string {
	if plainKey.MatchString(key) {
		return "." + key
	}
	return "[" + strconv.Quote(key) + "]"
}

func kindOf(node *yaml.Node) string {
	if node.Kind == yaml.MappingNode {
		return "an object"
	}
	if node.Kind == yaml.SequenceNode {
		return "a list"
	}
	switch node.Tag {
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!null":
		return "empty"
	default:
		return "text"
	}
}
