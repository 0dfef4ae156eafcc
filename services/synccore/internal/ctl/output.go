package ctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The forms of an answer.
const (
	tableOutput = "table"
	jsonOutput  = "json"
	yamlOutput  = "yaml"
)

// show prints an answer: as asked for, or as shown makes a table of it.
func (c *ctl) show(message proto.Message, shown func()) error {
	if c.output == tableOutput {
		shown()
		return nil
	}
	content, err := protojson.Marshal(message)
	if err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	// protojson varies its blanks on purpose.
	var value any
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	if c.output == yamlOutput {
		if err := json.Unmarshal(content, &value); err != nil {
			return fmt.Errorf("writing the answer: %w", err)
		}
		if content, err = yaml.Marshal(value); err != nil {
			return fmt.Errorf("writing the answer: %w", err)
		}
		_, err = c.terminal.Out.Write(content)
		return err
	}
	encoder := json.NewEncoder(c.terminal.Out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// say prints a line.
func (c *ctl) say(format string, args ...any) { fmt.Fprintf(c.terminal.Out, format+"\n", args...) }

// coloured tells whether colours are wanted on the standard output.
func (c *ctl) coloured() bool {
	switch c.colour {
	case "always":
		return true
	case "never":
		return false
	default:
		return c.terminal.Env("NO_COLOR") == "" && isTerminal(c.terminal.Out)
	}
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// paint colours a word, where colours are wanted.
func (c *ctl) paint(word string, colours ...text.Color) string {
	if !c.coloured() {
		return word
	}
	text.EnableColors()
	return text.Colors(colours).Sprint(word)
}

// state colours a word by how well it bodes.
func (c *ctl) state(word string) string {
	switch strings.ToLower(word) {
	case "active", "ok", "healthy", "passed", "succeeded", "pass":
		return c.paint(word, text.FgGreen)
	case "parked", "warning", "waiting", "creating", "stopped", "running", "queued", "not checked yet":
		return c.paint(word, text.FgYellow)
	case "gone", "error", "dead", "unhealthy", "failed", "fail":
		return c.paint(word, text.FgRed)
	case "acted":
		return c.paint(word, text.FgCyan)
	default:
		return word
	}
}

// widest is the most signs of a cell; longer ones are wrapped.
const widest = 72

// table prints rows below headings; with none it says so.
func (c *ctl) table(none string, headings []string, rows [][]string) {
	if len(rows) == 0 {
		c.say("%s", none)
		return
	}
	writer := table.NewWriter()
	writer.SetOutputMirror(c.terminal.Out)
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	writer.SetStyle(style)
	head := make(table.Row, len(headings))
	columns := make([]table.ColumnConfig, len(headings))
	for i, heading := range headings {
		head[i] = c.paint(heading, text.Bold)
		columns[i] = table.ColumnConfig{Number: i + 1, WidthMax: widest, WidthMaxEnforcer: wrapped}
	}
	writer.AppendHeader(head)
	writer.SetColumnConfigs(columns)
	for _, row := range rows {
		cells := make(table.Row, len(row))
		for i, cell := range row {
			cells[i] = clean(cell)
		}
		writer.AppendRow(cells)
	}
	writer.SuppressTrailingSpaces()
	writer.Render()
}

// wrapped wraps each line of a cell for itself.
func wrapped(cell string, width int) string {
	lines := strings.Split(cell, "\n")
	for i, line := range lines {
		lines[i] = text.WrapSoft(line, width)
	}
	return strings.Join(lines, "\n")
}

// clean takes what would move the cursor out of a text that somebody else wrote; colours
// of our own stay.
func clean(cell string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\x1b' && (r < ' ' || r == '\x7f') {
			return ' '
		}
		return r
	}, cell)
}

// enum is the short word for a value of an enum, e.g. parked for STATE_PARKED.
func enum(value fmt.Stringer, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value.String(), prefix)), "_", "-")
}

// at is a time as people read it.
func at(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Local().Format(time.DateTime)
}

// last is the last part of a resource's name.
func last(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
