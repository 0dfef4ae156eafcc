package fault

import (
	"encoding/json"
	"net/http"
	"strings"
)

// maxRequest bounds what the JSON API reads.
const maxRequest = 1 << 20

// ServeHTTP is the JSON API, to be mounted with its prefix stripped:
//
//	GET    /      the rules in force with their hits: {"rules": [...]}
//	POST   /      put one rule in force; answers it with its id
//	PUT    /      put exactly {"rules": [...]} in force
//	DELETE /      take all out of force
//	DELETE /{id}  take one out of force
//
// It asks for no credentials: mount it only where a test may reach.
func (s *Set) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	id := strings.Trim(req.URL.Path, "/")
	switch {
	case req.Method == http.MethodGet && id == "":
		reply(w, http.StatusOK, ruleList{Rules: s.Rules()})
	case req.Method == http.MethodPost && id == "":
		s.serveAdd(w, req)
	case req.Method == http.MethodPut && id == "":
		s.serveReplace(w, req)
	case req.Method == http.MethodDelete && id == "":
		s.Clear()
		w.WriteHeader(http.StatusNoContent)
	case req.Method == http.MethodDelete:
		if !s.Remove(id) {
			refuse(w, http.StatusNotFound, "no such rule")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusMethodNotAllowed, "method not allowed")
	}
}

type ruleList struct {
	Rules []Rule `json:"rules"`
}

func (s *Set) serveAdd(w http.ResponseWriter, req *http.Request) {
	var r Rule
	if err := decode(w, req, &r); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	id, err := s.Add(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	r.ID, r.Hits = id, 0
	reply(w, http.StatusCreated, r)
}

func (s *Set) serveReplace(w http.ResponseWriter, req *http.Request) {
	var list ruleList
	if err := decode(w, req, &list); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	fresh := NewSet(0)
	for _, r := range list.Rules {
		if _, err := fresh.Add(r); err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	s.Clear()
	s.mu.Lock()
	s.rules = fresh.rules
	s.lastID = max(s.lastID, fresh.lastID)
	s.mu.Unlock()
	reply(w, http.StatusOK, ruleList{Rules: s.Rules()})
}

func decode(w http.ResponseWriter, req *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxRequest))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

func reply(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]string{"message": message})
}
