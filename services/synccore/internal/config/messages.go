package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// The words for what was written before the link was made.
const (
	historyAll         = "all"
	historySinceLinked = "sinceLinked"
)

// recordKinds are the kinds of records that Alvao's REST API knows (OpenAPI:
// CreateRecordInTicketLog).
var recordKinds = []string{ //nolint:gochecknoglobals // a constant list
	"Email", "PhoneCall", "Meeting", "Letter", "VoiceMessage", "PaperNote", "Form", "Note", "Process", "Other", "Notification",
}

func (r *reader) messages(v value, m Messages) Messages {
	if v.absent() {
		return m
	}
	o, ok := r.object(v, messagesKeys())
	if !ok {
		return m
	}
	m.SinceLinked = r.choice(o.get("history"), historyWords(), historyAll) == historySinceLinked
	m.ShowToRequester = r.flag(o.get("showToRequester"), m.ShowToRequester)
	m.Format = item.TextFormat(r.choice(o.get("format"), formatWords(), string(m.Format)))
	m.MaxFile = r.size(o.get("maxFile"), m.MaxFile)
	m.Crossing = r.crossing(o)
	return m
}

func (r *reader) kinds(v value) []string {
	var kinds []string
	for _, one := range r.list(v) {
		kind := r.choice(one, recordKinds, "")
		switch {
		case kind == "":
		case slices.Contains(kinds, kind):
			r.report(one, kind+" is named twice", "Name each kind once")
		default:
			kinds = append(kinds, kind)
		}
	}
	if v.node.Kind == yaml.SequenceNode && len(v.node.Content) == 0 {
		r.report(v, "it names no kind, so that no message would ever cross",
			"Name at least one kind, or remove the key")
	}
	return kinds
}

var sizeText = regexp.MustCompile(`^([1-9][0-9]{0,8}) ?(KiB|MiB|GiB|)$`)

// size reads a number of bytes.
func (r *reader) size(v value, otherwise int64) int64 {
	const most = 1 << 30
	if v.absent() {
		return otherwise
	}
	const remedy = "Write a number with its unit, such as 512KiB or 60MiB, at most 1GiB"
	if v.node.Kind != yaml.ScalarNode {
		r.report(v, "it is "+kindOf(v.node)+" where a size is wanted", remedy)
		return otherwise
	}
	m := sizeText.FindStringSubmatch(strings.TrimSpace(v.node.Value))
	if m == nil {
		r.report(v, fmt.Sprintf("%q is not a size", v.node.Value), remedy)
		return otherwise
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	shift := map[string]int{"KiB": 10, "MiB": 20, "GiB": 30}[m[2]]
	if err != nil || n > most>>shift {
		r.report(v, v.node.Value+" is out of range", remedy)
		return otherwise
	}
	return n << shift
}

// sizeOf writes a size as it is read.
func sizeOf(bytes int64) string {
	for _, unit := range []struct {
		name  string
		shift int
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if bytes>>unit.shift<<unit.shift == bytes && bytes>>unit.shift > 0 {
			return strconv.FormatInt(bytes>>unit.shift, 10) + unit.name
		}
	}
	return strconv.FormatInt(bytes, 10)
}
