package richtext

import (
	"regexp"
	"strconv"
	"strings"
)

var numberMarker = regexp.MustCompile(`^\(?(?:([0-9]{1,9})|[A-Za-z]{1,4})[.)]`)

// outlookLists makes lists of the paragraphs that Outlook marks as their items,
// in all blocks below. Depth is how many containers are around.
func outlookLists(blocks []*block, depth int) []*block {
	most := (maxContainers - depth + 1) / 2 // lists that may still nest
	out := make([]*block, 0, len(blocks))
	var lists []*block // the lists that are open, outermost first
	var levels []int
	for _, b := range blocks {
		b.blocks = outlookLists(b.blocks, depth+1)
		if b.kind != paragraph || b.outlook == 0 || most <= 0 {
			out = append(out, b)
			lists, levels = nil, nil
			continue
		}
		for len(levels) > 1 && last(levels) > b.outlook {
			lists, levels = lists[:len(lists)-1], levels[:len(levels)-1]
		}
		if len(lists) == 0 || last(levels) < b.outlook && len(lists) < most {
			l := &block{kind: list}
			l.ordered, l.level = outlookNumber(b.marker)
			if len(lists) == 0 {
				out = append(out, l)
			} else {
				under := last(last(lists).blocks)
				under.blocks = append(under.blocks, l)
			}
			lists, levels = append(lists, l), append(levels, b.outlook)
		}
		to := last(lists)
		to.blocks = append(to.blocks, &block{kind: listItem, blocks: []*block{b}})
	}
	return out
}

// outlookNumber tells whether an item's sign is a number, and which.
func outlookNumber(marker string) (bool, int) {
	m := numberMarker.FindStringSubmatch(strings.TrimSpace(marker))
	// A lone o is Outlook's bullet of the second level.
	if m == nil {
		return false, 0
	}
	if n, err := strconv.Atoi(m[1]); err == nil {
		return true, n
	}
	return true, 1
}
