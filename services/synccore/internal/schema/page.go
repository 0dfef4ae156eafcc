package schema

import (
	"fmt"
	"strings"
)

// Markdown is the same as a page: a section for the file and for each object in it, a row
// for each key. Objects with a name of their own have one section, however often they
// stand in the file.
func Markdown(title, introduction string, root Object) ([]byte, error) {
	if wrong := check("", root); len(wrong) > 0 {
		return nil, fmt.Errorf("%w: %s", errKeys, strings.Join(wrong, "; "))
	}
	p := page{told: map[string]bool{}}
	fmt.Fprintf(&p.text, "# %s\n\n%s\n\n", title, strings.TrimSpace(introduction))
	p.object("The file", "", root)
	for len(p.shared) > 0 {
		next := p.shared[0]
		p.shared = p.shared[1:]
		p.object(next.Name, "", next)
	}
	return []byte(strings.TrimRight(p.text.String(), "\n") + "\n"), nil
}

// page is one that is being written.
type page struct {
	text strings.Builder
	// shared are the objects with a name that are still to be told, told those that are.
	shared []Object
	told   map[string]bool
}

func (p *page) object(heading, path string, o Object) {
	fmt.Fprintf(&p.text, "## %s\n\n", heading)
	if o.About != "" {
		p.text.WriteString(o.About + "\n\n")
	}
	p.text.WriteString("| key | meaning | default | example |\n| --- | --- | --- | --- |\n")
	type nested struct {
		heading, path string
		object        Object
	}
	var below []nested
	for _, key := range o.Keys {
		kind := key.Value.Kind()
		if inner, within := key.Value.Below(); inner != nil {
			at := path + key.Name + within
			if inner.Name != "" {
				at = inner.Name
				if !p.told[at] {
					p.told[at] = true
					p.shared = append(p.shared, *inner)
				}
			} else {
				below = append(below, nested{"`" + at + "`", at + ".", *inner})
			}
			kind += ", see [" + at + "](#" + anchor(at) + ")"
		}
		standard := key.Absent
		switch {
		case key.Required:
			standard = "**required**"
		case key.Default != "":
			standard = code(key.Default)
		}
		fmt.Fprintf(&p.text, "| `%s` | %s<br>*%s* | %s | %s |\n", key.Name, cell(key.About), cell(kind), cell(standard), cell(code(key.Example)))
	}
	p.text.WriteString("\n")
	for _, one := range below {
		p.object(one.heading, one.path, one.object)
	}
}

func code(text string) string { return "`" + strings.TrimSpace(text) + "`" }

// cell is a text as it may stand in a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		}
	}
	return b.String()
}
