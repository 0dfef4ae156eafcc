// Package azuredevops is a stand-in for Azure DevOps: one organisation in memory, served over HTTP as Microsoft
// documents and records it, and a Go API to look into it and to act in it as a person.
//
// The invariant: what a caller could not do at the real service is refused here in the service's own terms (status,
// typeKey, message, body form), and what is accepted is seen alike by REST, by the Go API, by queries and by hooks.
//
// It is an independent reading of the contract: it shares no code or type with sync-core, so that one can check the
// other. The sources are Microsoft's OpenAPI documents and examples, the recorded traffic of the Azure DevOps command
// line, captured service hook bodies, and field reports; azure-devops.md collects them.
//
// # Use
//
//	server := azuredevops.New(azuredevops.Options{BaseURL: "http://127.0.0.1:8088/azuredevops"})
//	defer server.Close()
//	mux.Handle("/azuredevops/", http.StripPrefix("/azuredevops", server))
//
//	jana := server.As("jana.dvorakova@contoso.com")
//	item, err := jana.Create("Alvaoproject", "Task", "Printer is on fire")
//	_, err = jana.SetState(item.ID, "Doing")
//	server.WorkItem(item.ID) // what there is now
//	server.Writes()          // who wrote what, through REST or by hand
//	server.Deliveries()      // every attempt to send a hook
//
// Faults (latency, 429, 503, cut connections, lost replies) are planted around it with the package fault.
//
// # Recorded
//
// These rest on real traffic or Microsoft's own examples, and tests compare with them: the keys of work items, links,
// relations and identities; create and PATCH answering 200 with relations and links but without the computed fields;
// fields without a value left out; links between work items leaving `rev` alone; relations returned in another order
// than added, removed by index in that order; the project's GUID put into relation URLs; numeric operation codes in
// JSON Patch; `multilineFieldsFormat` at any version; 404 TF200016, TF401232 and the text/plain "controller" answer
// (also for id 0); 400 RelationAlreadyExistsException; identity search, connection data, `x-vss-userdata` and
// `ActivityId`; WIQL answers; the envelope of hook events with `message: null`, update numbers beside work item ids,
// identities as strings at resourceVersion 1.0; the fixed sample events of the Test button.
//
// # Documented or reported
//
// Retry classes and waits of service hooks; masked passwords and inputs the server adds; 410 disabling at once; only
// the initial state at create; TF401320 with its machine-readable properties; TF401326, TF51535, TF237082, VS403313,
// VS403319, VS403351, VS403474, VS403691, VS402337; 412 hosted against 409 TF26071 on premises; api-version rules; a
// create that takes System.CreatedBy without bypassRules and silently leaves it unset; unknown people stored silently
// with bypassRules; `add` on tags adding to them; the project in a WIQL path not narrowing the query; 203 with a
// sign-in page; 401 where a scope is missing; a comment raising both commented and updated.
//
// # Modelled
//
// Nobody outside Microsoft can say, so these are choices, most with a switch in [Options]: messages without an error
// code and the codes of WIQL syntax errors; field status flags; the order of relations; notifications lost while a
// subscription is on probation; a broken connection counting as a transient failure; the keys of `minimal` resources;
// an edited or deleted comment making a revision; deleting and restoring making a revision; a type change that finds
// no equal state going to the initial one; a moved item being heard by the subscriptions of its new project; CONTAINS
// on tags meaning whole tags; the rate limit's costs and thresholds; WIQL's index lag; localhost and plain http allowed
// as hook targets.
//
// # Left out
//
// Link queries, stored queries, asOf, classification nodes, templates, reactions, work item icons, boards, the Graph
// API, creating projects by REST, and everything that is not work items.
//
// Everything is guarded by one read-write mutex, never held while writing to a caller; deliveries run on their own.
// Where nothing else is said, times are UTC with milliseconds, as the service stores them.
package azuredevops
