package azuredevops

import (
	"net/http"
	"strings"
)

// serveResourceAreas lists where the service's areas live: all of them here. Clients of Microsoft begin with this.
func (s *Server) serveResourceAreas(*call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	areas := make([]map[string]string, 0)
	for _, a := range resourceAreas() {
		areas = append(areas, map[string]string{"id": a[0], "name": a[1], "locationUrl": s.here().root + "/"})
	}
	return list(areas)
}

func (s *Server) serveResourceArea(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, a := range resourceAreas() {
		if strings.EqualFold(a[0], c.args[0]) {
			return ok(map[string]string{"id": a[0], "name": a[1], "locationUrl": s.here().root + "/"})
		}
	}
	return answer{status: http.StatusOK, body: []byte("null")}, nil
}

// resourceAreas are the ids and names of the areas served.
func resourceAreas() [][2]string {
	return [][2]string{
		{"5264459e-e5e0-4bd8-b118-0985e68a4ec5", "wit"},
		{"79134c72-4a58-4b42-976c-04e7115f32bf", "core"},
		{"8a3d49b8-91f0-46ef-b33d-dda338c25db3", "IMS"},
		{"8ccfef3d-2b87-4e99-8ccb-66e343d2daa8", "profile"},
	}
}

// location is one entry of the answer to OPTIONS, by which Microsoft's clients find a route from a GUID.
type location struct {
	ID              string `json:"id"`
	Area            string `json:"area"`
	ResourceName    string `json:"resourceName"`
	RouteTemplate   string `json:"routeTemplate"`
	ResourceVersion int    `json:"resourceVersion"`
	MinVersion      string `json:"minVersion"`
	MaxVersion      string `json:"maxVersion"`
	ReleasedVersion string `json:"releasedVersion"`
}

// serveLocations answers OPTIONS for an area, or for all.
func (s *Server) serveLocations(c *call) (answer, error) {
	area := ""
	if len(c.args) > 0 {
		area = c.args[0]
	}
	found := []location{}
	for _, l := range locations() {
		if area == "" || strings.EqualFold(area, l.Area) {
			found = append(found, l)
		}
	}
	return list(found)
}

// locations are the GUIDs of the resources that Microsoft's Node and Go clients ask for (their sources, MIT).
func locations() []location {
	at := func(id, area, resource, template string, version int, preview bool) location {
		released := "7.1"
		if preview {
			released = "0.0"
		}
		return location{id, area, resource, template, version, "1.0", "7.1", released}
	}
	const wit, hooks = "{project}/_apis/{area}/{resource}", "_apis/{area}/{resource}"
	return []location{
		at("00d9565f-ed9c-4a06-9a50-00e7896ccab4", "Location", "ConnectionData", "_apis/{resource}", 1, true),
		at("e81700f7-3be2-46de-8624-2eb35882fcaa", "Location", "ResourceAreas", "_apis/{resource}/{areaId}", 1, true),
		at("28010c54-d0c0-4c89-a5b0-1c9e188b9fb7", "IMS", "Identities", "_apis/{resource}/{identityId}", 1, false),
		at("603fe2ac-9723-48b9-88ad-09305aa6c6e1", "core", "projects", "_apis/{resource}/{*projectId}", 4, false),
		at("72c7ddf8-2cdc-4f60-90cd-ab71c14a399b", "wit", "workItems", wit+"/{id}", 3, false),
		at("62d3d110-0047-428c-ad3c-4fe872c91c74", "wit", "workItems", wit+"/${type}", 3, false),
		at("908509b6-4248-4475-a1cd-829139ba419f", "wit", "workItemsBatch", wit, 1, false),
		at("6570bf97-d02c-4a91-8d93-3abe9895b1a9", "wit", "updates", "{project}/_apis/{area}/workItems/{id}/{resource}/{updateNumber}", 3, false),
		at("a00c85a5-80fa-4565-99c3-bcd2181434bb", "wit", "revisions", "{project}/_apis/{area}/workItems/{id}/{resource}/{revisionNumber}", 3, false),
		at("608aac0a-32e1-4493-a863-b9cf4566d257", "wit", "comments", "{project}/_apis/{area}/workItems/{workItemId}/{resource}/{commentId}", 4, true),
		at("49e03b34-3be0-42e3-8a5d-e8dfb88ac954", "wit", "versions", "{project}/_apis/{area}/workItems/{workItemId}/comments/{commentId}/{resource}/{version}", 1, true),
		at("e07b5fa4-1499-494d-a496-64b860fd64ff", "wit", "attachments", wit+"/{id}", 3, false),
		at("1a9c53f7-f243-4447-b110-35ef023636e4", "wit", "wiql", "{project}/{team}/_apis/{area}/{resource}", 2, false),
		at("b70d8d39-926c-465e-b927-b1bf0e5ca0e0", "wit", "recyclebin", wit+"/{id}", 2, false),
		at("f828fe59-dd87-495d-a17c-7a8d6211ca6c", "wit", "workItemRevisions", "{project}/_apis/{area}/reporting/{resource}", 2, false),
		at("7c8d7a76-4a09-43e8-b5df-bd792f4ac6aa", "wit", "workItemTypes", wit+"/{type}", 2, false),
		at("7c9d7a76-4a09-43e8-b5df-bd792f4ac6aa", "wit", "states", "{project}/_apis/{area}/workItemTypes/{type}/{resource}", 1, false),
		at("bd293ce5-3d25-4192-8e67-e8092e879efb", "wit", "fields", "{project}/_apis/{area}/workItemTypes/{type}/{resource}/{field}", 3, false),
		at("b51fd764-e5c2-4b9b-aaf7-3395cf4bdd94", "wit", "fields", wit+"/{fieldNameOrRefName}", 3, false),
		at("f5d33bc9-5b49-4a3c-a9bd-f3cd46dd2165", "wit", "workItemRelationTypes", "_apis/{area}/{resource}/{relation}", 2, false),
		at("fc50d02a-849f-41fb-8af1-0a5216103269", "hooks", "subscriptions", hooks+"/{subscriptionId}", 1, false),
		at("0c62d343-21b0-4732-997b-017fde84dc28", "hooks", "notifications", "_apis/{area}/subscriptions/{subscriptionId}/{resource}/{notificationId}", 1, false),
		at("1a57562f-160a-4b5c-9185-905e95b39d36", "hooks", "notificationsQuery", hooks, 1, false),
		at("c7c3c1cf-9e05-4c0d-a425-a0f922c2c6ed", "hooks", "subscriptionsQuery", hooks, 1, false),
		at("1139462c-7e27-4524-a997-31b9b73551fe", "hooks", "testNotifications", hooks+"/{notificationId}", 1, false),
	}
}
