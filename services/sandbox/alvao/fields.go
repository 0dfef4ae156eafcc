package alvao

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// customItemType is the OData type a custom item must carry when written (Alvao documentation: Power Platform custom
// connector).
const customItemType = "#Alvao.Rest.Api.Models.SD.CustomItem"

// setCustom sets a custom column to a value of the column's type; nil or an empty text clears it.
func (d *draft) setCustom(column *Column, value any) error {
	v, err := column.accept(d.s, value)
	if err != nil {
		return err
	}
	if d.t.custom == nil {
		d.t.custom = map[string]any{}
	}
	if d.t.custom[column.Name] == v {
		return nil
	}
	if v == nil {
		delete(d.t.custom, column.Name)
	} else {
		d.t.custom[column.Name] = v
	}
	d.touched("tHdTicketCust." + column.Name)
	d.updated(column.Name)
	return nil
}

// updated notes a changed field in the one ledger entry that an update has.
func (d *draft) updated(field string) {
	i := slices.IndexFunc(d.writes, func(w Write) bool { return w.Op == OpTicketUpdate })
	if i < 0 {
		d.wrote(OpTicketUpdate, func(w *Write) { w.Fields = []string{field} })
		return
	}
	d.writes[i].Fields = append(d.writes[i].Fields, field)
}

// accept checks a value as decoded from JSON against the type of the column.
func (c *Column) accept(s *Server, value any) (any, error) {
	if value == nil || value == "" {
		return nil, nil //nolint:nilnil // no value is what an empty column holds
	}
	wrong := refuseField("customItems."+c.Name, "The value of %s must be of the type %s.", c.Name, c.Kind)
	switch c.Kind {
	case ColumnText:
		text, ok := value.(string)
		if !ok {
			return nil, wrong
		}
		if c.MaxLength > 0 && utf8.RuneCountInString(text) > c.MaxLength {
			return nil, refuseField("customItems."+c.Name, "The value of %s is longer than %d characters.", c.Name, c.MaxLength)
		}
		return text, nil
	case ColumnBit:
		b, ok := value.(bool)
		if !ok {
			return nil, wrong
		}
		return b, nil
	case ColumnDateTime:
		text, ok := value.(string)
		if !ok {
			return nil, wrong
		}
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return nil, wrong
		}
		return text, nil
	case ColumnInt, ColumnUser, ColumnFloat:
		n, err := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(value)), 64)
		if err != nil || c.Kind != ColumnFloat && n != float64(int64(n)) {
			return nil, wrong
		}
		if c.Kind == ColumnUser && s.dir.person(int(n)) == nil {
			return nil, refuseField("customItems."+c.Name, "There is no user with the ID %v.", value)
		}
		return n, nil
	}
	return nil, wrong
}

// customItemsIn applies `customItems` of a request, whose values must be objects of the OData type.
func (d *draft) customItemsIn(items map[string]json.RawMessage) error {
	names := make([]string, 0, len(items))
	for name := range items {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		column := d.s.dir.column(name)
		if column == nil {
			return refuseField("customItems", "The custom item %s does not exist.", name)
		}
		var item struct {
			Type  string `json:"@odata.type"`
			Name  string `json:"name"`
			Value any    `json:"value"`
		}
		if err := json.Unmarshal(items[name], &item); err != nil || item.Type != customItemType || !strings.EqualFold(item.Name, name) {
			return refuseField("customItems."+name,
				`The value must be an object with "@odata.type" %q, "name" %q and "value".`, customItemType, name)
		}
		if err := d.setCustom(column, item.Value); err != nil {
			return err
		}
	}
	return nil
}

// setText changes one of the plain text fields of a ticket.
func (d *draft) setText(field *string, name, property, value string) {
	if *field == value {
		return
	}
	*field = value
	d.touched(property)
	d.updated(name)
}

func checkPriority(value string) error {
	if slices.Contains([]string{"Planning", "Low", "Medium", "High", "Critical"}, value) {
		return nil
	}
	return refuseField("priority", "The value %s is invalid.", value)
}

func checkLevel(field, value string) error {
	if slices.Contains([]string{"Low", "Medium", "High"}, value) {
		return nil
	}
	return refuseField(field, "The value %s is invalid.", value)
}
