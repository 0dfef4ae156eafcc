package template

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/nearest"
)

// Variable describes one name of Alvao's template language, for lists and help.
type Variable struct {
	// Name is written without brackets. A name that ends in a dot is followed by
	// the database column name of a custom field.
	Name string
	// Unavailable says why Tandem can't render it; empty: it can.
	Unavailable string
	// Needs is what has to be fetched for it.
	Needs Needs
}

// Variables lists every name that Tandem knows, sorted, those that it can't
// render included.
func Variables() []Variable {
	known := newCatalogue()
	list := make([]Variable, 0, len(known))
	for _, v := range known {
		list = append(list, Variable{Name: v.name, Unavailable: v.unavailable, Needs: v.needs})
	}
	slices.SortFunc(list, func(a, b Variable) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// variable is one entry of the catalogue. One of value, column and unavailable is
// set.
type variable struct {
	name  string
	needs Needs
	value func(Data) content
	// column makes the value of a name that ends in a custom field's column.
	column func(Data, string) content
	// unavailable is a clause that completes "… is not available here: ".
	unavailable string
	// instead names a variable that may serve in its place.
	instead string
}

// catalogue holds the variables by lower-case name.
type catalogue map[string]variable

func (c catalogue) add(v variable) { c[strings.ToLower(v.name)] = v }

// find looks a name up that has no blanks left.
func (c catalogue) find(name string) (variable, *Problem) {
	if name == "" {
		return variable{}, &Problem{
			Text:   "[$$] names no variable",
			Remedy: "Write a name between the signs, such as [$TicketTitle$]",
		}
	}
	v, ok := c[strings.ToLower(name)]
	column := ""
	if !ok {
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
			v, ok = c[strings.ToLower(name[:dot+1])]
			column = name[dot+1:]
		}
	}
	switch {
	case !ok:
		return variable{}, &Problem{
			Text:   fmt.Sprintf("[$%s$] is not a variable that Alvao knows", name),
			Remedy: c.suggest(name),
		}
	case v.unavailable != "":
		remedy := "Remove it"
		if v.instead != "" {
			remedy = fmt.Sprintf("Use [$%s$] instead, or remove it", v.instead)
		}
		return variable{}, &Problem{
			Text:   fmt.Sprintf("[$%s$] is not available here: %s", name, v.unavailable),
			Remedy: remedy,
		}
	case v.column != nil && column == "":
		return variable{}, &Problem{
			Text:   fmt.Sprintf("[$%s$] names no custom field", name),
			Remedy: fmt.Sprintf("Add the field's database column name, as in [$%sTicketCategory$]", v.name),
		}
	case v.column != nil:
		byColumn := v.column
		v.value = func(d Data) content { return byColumn(d, column) }
	}
	return v, nil
}

// suggest names the nearest variable that can be rendered, if one is near enough
// to be a slip of the pen.
func (c catalogue) suggest(name string) string {
	wanted, column := strings.ToLower(name), ""
	// A mistake in front of a custom field's column leaves the column as it is.
	if dot := strings.LastIndexByte(wanted, '.'); dot >= 0 {
		wanted, column = wanted[:dot+1], name[dot+1:]
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(c)) {
		if v := c[key]; v.unavailable == "" && (column == "") == (v.column == nil) {
			keys = append(keys, key)
		}
	}
	best := c[nearest.Name(wanted, keys)].name
	switch {
	case strings.EqualFold(name, "TicketNumber"):
		return "The ticket's number is [$TicketID$]"
	case best == "":
		return "See the list of variables in the manual, or remove it"
	default:
		return fmt.Sprintf("Did you mean [$%s%s$]?", best, column)
	}
}

// newCatalogue builds the list of alvao.md §4. It is built at each Parse, which
// happens when a configuration is read and never per ticket.
func newCatalogue() catalogue {
	c := catalogue{}
	addTicket(c)
	addMessages(c)
	addPerson(c, "TicketRequester", Needs{Requester: true}, func(d Data) (*item.Person, string) { return d.Requester, d.Ticket.Requester })
	addPerson(c, "TicketRequestedFor", Needs{RequestedFor: true}, func(d Data) (*item.Person, string) { return d.RequestedFor, d.Ticket.RequestedFor })
	addPerson(c, "TicketSolver", Needs{Solver: true}, func(d Data) (*item.Person, string) { return d.Solver, d.Ticket.Solver })
	addUnavailable(c)
	return c
}

func addTicket(c catalogue) {
	text := func(name string, value func(item.Ticket) string) {
		c.add(variable{name: name, value: func(d Data) content { return plain(value(d.Ticket)) }})
	}
	text("TicketID", func(t item.Ticket) string { return strconv.FormatInt(t.ID, 10) })
	text("TicketMessageTag", func(t item.Ticket) string { return t.MessageTag })
	text("TicketTitle", func(t item.Ticket) string { return t.Title })
	text("TicketUrl", func(t item.Ticket) string { return t.URL })
	text("TicketStatus", func(t item.Ticket) string { return t.Status })
	// Alvao gives the service with its path in the tree; REST tells its name alone.
	text("TicketService", func(t item.Ticket) string { return t.Service })
	text("TicketServiceProcess", func(t item.Ticket) string { return t.Process })
	text("TicketProcess", func(t item.Ticket) string { return t.Process })
	text("TicketSLA", func(t item.Ticket) string { return t.SLA })
	text("SLA", func(t item.Ticket) string { return t.SLA })
	text("Priority", func(t item.Ticket) string { return t.Priority })
	text("Impact", func(t item.Ticket) string { return t.Impact })
	text("Urgency", func(t item.Ticket) string { return t.Urgency })
	text("sHdTicketDeviceCode", func(t item.Ticket) string { return t.DeviceNumber })
	text("RelatedAccountId", func(t item.Ticket) string { return t.RelatedOrganization })
	text("sHdTicketUser", func(t item.Ticket) string { return t.Requester })
	c.add(variable{name: "TicketDeadline", value: func(d Data) content { return content{at: d.Ticket.Due} }})
	c.add(variable{name: "TicketMessageTagLink", value: tagLink})
	c.add(variable{name: "TicketInfo", value: info})
	c.add(variable{name: "tHdTicketCust.", column: func(d Data, column string) content {
		return plain(custom(d.Ticket.Custom, column))
	}})
	requester := Needs{Requester: true}
	c.add(variable{name: "sHdTicketUserCompany", needs: requester, value: func(d Data) content {
		return ofPerson(d.Requester, func(p item.Person) string { return p.Organization })
	}})
	c.add(variable{name: "sHdTicketUserDepartment", needs: requester, value: func(d Data) content {
		return ofPerson(d.Requester, func(p item.Person) string { return p.Department })
	}})
}

func addMessages(c catalogue) {
	log := Needs{Log: true}
	c.add(variable{name: "OriginalMessageSubject", needs: log, value: func(d Data) content {
		r, _ := d.founding()
		return plain(r.Subject)
	}})
	c.add(variable{name: "OriginalMessage", needs: log, value: func(d Data) content {
		r, _ := d.founding()
		return ofRecord(r)
	}})
	c.add(variable{name: "OriginalMessageAttachmentList", needs: log, value: func(d Data) content {
		r, _ := d.founding()
		return plain(strings.Join(fileNames(r), ", "))
	}})
	c.add(variable{name: "LatestImportantMessage", needs: log, value: func(d Data) content {
		r, _ := d.latestImportant()
		if v := ofRecord(r); !v.empty() {
			return v
		}
		return plain("-")
	}})
}

// addPerson adds the set that exists for the requester, the person requested for
// and the solver. AccountName is the person's organisation, not the login (Alvao:
// Message template page, "Applicant - Organisation - Name").
func addPerson(c catalogue, prefix string, needs Needs, of func(Data) (*item.Person, string)) {
	field := func(suffix string, value func(item.Person) string) {
		c.add(variable{name: prefix + suffix, needs: needs, value: func(d Data) content {
			p, _ := of(d)
			return ofPerson(p, value)
		}})
	}
	c.add(variable{name: prefix + "Name", value: func(d Data) content {
		// The ticket itself tells the name, so no look-up is needed for it.
		p, name := of(d)
		if name == "" && p != nil {
			name = p.Name
		}
		return plain(name)
	}})
	field("Mobile", func(p item.Person) string { return p.MobilePhone })
	field("Email", func(p item.Person) string { return p.Email })
	field("Email2", func(p item.Person) string { return p.Email2 })
	field("PhoneToWork", func(p item.Person) string { return p.Phone })
	field("PhoneToWork2", func(p item.Person) string { return p.Phone2 })
	field("OtherContacts", func(p item.Person) string { return p.OtherContacts })
	field("Department", func(p item.Person) string { return p.Department })
	field("Position", func(p item.Person) string { return p.WorkPosition })
	field("Office", func(p item.Person) string { return p.Office })
	field("PersonalNumber", func(p item.Person) string { return p.PersonalNumber })
	field("AccountName", func(p item.Person) string { return p.Organization })
	withManager := needs
	withManager.Managers = true
	c.add(variable{name: prefix + "ManagerName", needs: withManager, value: func(d Data) content {
		p, _ := of(d)
		if p == nil {
			return content{}
		}
		return plain(d.Managers[p.ManagerID])
	}})
	c.add(variable{name: prefix + ".tPersonCust.", needs: needs, column: func(d Data, column string) content {
		p, _ := of(d)
		return ofPerson(p, func(p item.Person) string { return custom(p.Custom, column) })
	}})
	c.add(variable{
		name:        prefix + "Account.tAccountCust.",
		unavailable: "Alvao's REST API does not give the custom fields of organisations",
		instead:     prefix + "AccountName",
	})
}

func addUnavailable(c catalogue) {
	add := func(why, instead string, names ...string) {
		for _, name := range names {
			c.add(variable{name: name, unavailable: why, instead: instead})
		}
	}
	const evaluator = "only Alvao itself can work it out, its REST API does not give it"
	add(evaluator, "", "CommentForRequester", "ApprovalResultWithComment", "FeedbackUrl",
		"FeedbackGeneralForm", "TicketServicePhone", "sHdTicketGroup")
	add(evaluator, "TicketDeadline", "FirstReactionDeadline")
	add("Alvao's REST API does not give the custom fields of services", "TicketService", "TicketService.tHdSectionCust.")
	add("Alvao's REST API does not give the custom fields of SLAs", "TicketSLA", "TicketSLA.tSlaCust.")
	add("it belongs to the message template for approvers", "", "CommentForApprover", "ApprovalByForm",
		"ApprovalByEmail", "ApprovalStepCurrentApprovers", "ApprovalStepExpirationTime")
	add("it belongs to the notifications of resolving and reopening a ticket", "LatestImportantMessage", "MessageForRequester")
	add("it belongs to the notifications to solvers", "LatestImportantMessage", "MessageForSolver")
	add("it belongs to the notifications to solvers", "OriginalMessageAttachmentList", "OriginalMessageAttachments")
	add("it belongs to the subject of operators' messages", "TicketRequesterAccountName", "TicketUserCompany")
	add("it belongs to the subject of operators' messages", "TicketRequesterOffice", "TicketUserOffice")
	add("it belongs to Asset Management's messages", "", "Alert1SentDate", "Alert2SentDate", "Alert3SentDate",
		"AlertNo", "ComputerProductTable", "ComputerSwManager", "ComputerSwManagersManager", "Date",
		"DetectPeriod", "FromPersonName", "MyAssetURL", "Objects", "Text", "TransferNumber")
}

// fileNames lists the names of a record's files.
func fileNames(r item.Record) []string {
	names := make([]string, 0, len(r.Attachments))
	for _, file := range r.Attachments {
		names = append(names, file.Name)
	}
	return names
}
