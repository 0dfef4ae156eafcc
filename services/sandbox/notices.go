package sandbox

import (
	"encoding/json"
	"net/http"

	"github.com/tandem-sync/tandem/services/sandbox/mail"
	"github.com/tandem-sync/tandem/services/sandbox/teams"
)

// notices answers what people were told: GET gives {"mails":[Mail],"cards":[Card]}, the oldest first; DELETE forgets them.
func (s *Sandbox) notices(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
	case http.MethodDelete:
		if s.Mail != nil {
			s.Mail.Clear()
		}
		s.Teams.Clear()
	default:
		http.Error(w, "", http.StatusMethodNotAllowed)
		return
	}
	answer := struct {
		Mails []mail.Mail  `json:"mails"`
		Cards []teams.Card `json:"cards"`
	}{[]mail.Mail{}, append([]teams.Card{}, s.Teams.Cards()...)}
	if s.Mail != nil {
		answer.Mails = append(answer.Mails, s.Mail.Mails()...)
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, "encoding answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(raw)
}
