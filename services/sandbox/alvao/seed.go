package alvao

import "time"

// Logins of the default directory.
const (
	// Requester is the person who asks, in the default directory.
	Requester = "jana.dvorakova@contoso.com"
	// Solver is the person who works on tickets.
	Solver = "petr.svoboda@contoso.com"
	// ServiceManager manages the service.
	ServiceManager = "eva.horakova@contoso.com"
	// ApplicationAccount is Tandem's account.
	ApplicationAccount = "tandem"
)

// ExternalIDColumn is the custom column "External Application - the ticket ID" in the default directory. Alvao's own
// name for it is not public.
const ExternalIDColumn = "ExternalTicketId"

// DefaultDirectory is the seed's example: service Development with its process, beside a service desk of another
// process, and a handful of persons.
func DefaultDirectory() *Directory {
	return &Directory{
		Processes: []Process{developmentProcess(), incidentProcess()},
		Services: []Service{
			{
				ID: 109, Name: "Development", Process: "Development process", SLA: "Standard", SLAID: 1,
				SolverTeam: "Developers", SolverTeamID: 31, CustomItems: map[string]string{"ConnectorSettings": ""},
			},
			{ID: 110, Name: "IT support", Process: "Incident", SLA: "Standard", SLAID: 1, SolverTeam: "Operators", SolverTeamID: 32},
		},
		Persons: defaultPersons(),
		Columns: []Column{
			{ID: 101, Name: ExternalIDColumn, Title: "External Application - the ticket ID", Kind: ColumnText, MaxLength: 50},
			{ID: 102, Name: "TicketCategory", Title: "Category", Kind: ColumnText},
			{ID: 103, Name: "EstimatedHours", Title: "Estimated hours", Kind: ColumnFloat},
			{ID: 104, Name: "TestResult", Title: "Test result", Kind: ColumnText, MaxLength: 255},
		},
	}
}

func developmentProcess() Process {
	cs := func(name string) map[string]string { return map[string]string{"cs": name} }
	return Process{
		ID: 7, Name: "Development process", Names: cs("Proces vývoje"), //nolint:misspell // Czech
		Statuses: []Status{
			{ID: 41, Name: "New", Names: cs("Nový")},
			{ID: 42, Name: "Analysis", Names: cs("Analýza")},
			{ID: 43, Name: "Development", Names: cs("Vývoj")},
			{ID: 44, Name: "Development pending", Names: cs("Vývoj probíhá")},
			{ID: 45, Name: "Testing", Names: cs("Testování")},
			{ID: 46, Name: "Deployment approval", Names: cs("Schválení nasazení"), StartsApproval: true, Approved: "Resolved", Rejected: "Development"},
			{ID: 47, Name: "Resolved", Names: cs("Vyřešeno"), Behavior: Resolved, NotifiesRequester: true},
			{ID: 48, Name: "Closed", Names: cs("Uzavřeno"), Behavior: Closed, Next: []string{"New", "Development"}},
			{ID: 49, Name: "Deleted", Names: cs("Smazáno"), Behavior: Removed},
		},
	}
}

func incidentProcess() Process {
	cs := func(name string) map[string]string { return map[string]string{"cs": name} }
	return Process{
		ID: 8, Name: "Incident", Names: cs("Incident"),
		Statuses: []Status{
			{ID: 61, Name: "New", Names: cs("Nový"), Next: []string{"In progress", "Resolved"}},
			{ID: 62, Name: "In progress", Names: cs("V řešení"), Required: []string{"solverId"}},
			{ID: 63, Name: "Resolved", Names: cs("Vyřešeno"), Behavior: Resolved, Then: "Closed", NotifiesRequester: true},
			{ID: 64, Name: "Closed", Names: cs("Uzavřeno"), Behavior: Closed},
			{ID: 65, Name: "Deleted", Names: cs("Smazáno"), Behavior: Removed},
		},
	}
}

func defaultPersons() []Person {
	since := time.Date(2024, 3, 1, 8, 0, 0, 0, time.UTC)
	person := func(id int, login, first, last string) Person {
		return Person{
			ID: id, Login: login, Email: login, FirstName: first, LastName: last, Name: first + " " + last,
			Organization: "Contoso", CreatedDate: since, LocaleID: 1033, Timezone: "Central Europe Standard Time",
		}
	}
	requester := person(25, Requester, "Jana", "Dvořáková")
	requester.Department, requester.WorkPosition, requester.Phone, requester.ManagerID = "Sales", "Account manager", "+420 555 010 025", 27
	requester.SAMAccountName, requester.PersonalNumber, requester.Office = `CONTOSO\jdvorakova`, "0025", "Brno 2.14"
	solver := person(26, Solver, "Petr", "Svoboda")
	solver.Department, solver.WorkPosition = "Development", "Developer"
	manager := person(27, ServiceManager, "Eva", "Horáková")
	manager.Department, manager.WorkPosition = "Development", "Service manager"
	left := person(28, "jan.novotny@contoso.com", "Jan", "Novotný")
	left.IsDisabled, left.RemovedDate = true, since.AddDate(1, 0, 0)
	outsider := person(29, "sean.oneil@fabrikam.com", "Sean", "O'Neil")
	outsider.Organization, outsider.NoSLA, outsider.NoRecords = "Fabrikam", true, true
	return []Person{
		{ID: 1, Login: "alvao.system", Name: "ALVAO System", IsSystem: true, IsHidden: true, CreatedDate: since},
		{ID: 2, Login: "guest", Name: "Guest", IsGuest: true, CreatedDate: since},
		{ID: 9, Login: ApplicationAccount, Name: "Tandem", IsApp: true, CreatedDate: since},
		requester, solver, manager, left, outsider,
	}
}
