package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
)

// brake reads when a mass change waits for a person.
func (r *reader) brake(v value, otherwise brake.Settings) brake.Settings {
	o, ok := r.object(v, brakeKeys())
	if !ok {
		return otherwise
	}
	return brake.Settings{
		Share:   r.share(o.get("share"), otherwise.Share),
		AtLeast: int(r.whole(o.get("atLeast"), 1, mostBrakeAtLeast, int64(otherwise.AtLeast))),
	}
}

var percent = regexp.MustCompile(`^([0-9]{1,3}(?:\.[0-9]{1,2})?) ?%$`)

// share reads a share, written in percent.
func (r *reader) share(v value, otherwise float64) float64 {
	if v.absent() {
		return otherwise
	}
	const remedy = "Write it in percent, from 0% to 100%, such as 20%; 100% switches the brake off"
	if v.node.Kind != yaml.ScalarNode {
		r.report(v, "it is "+kindOf(v.node)+" where a share is wanted", remedy)
		return otherwise
	}
	m := percent.FindStringSubmatch(strings.TrimSpace(v.node.Value))
	if m == nil {
		r.report(v, fmt.Sprintf("%q is not a share", v.node.Value), remedy)
		return otherwise
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil || n > 100 {
		r.report(v, v.node.Value+" is out of range", remedy)
		return otherwise
	}
	return n / 100
}

// shareOf writes a share as it is read.
func shareOf(share float64) string {
	return strconv.FormatFloat(float64(int(share*10_000+0.5))/100, 'f', -1, 64) + "%"
}
