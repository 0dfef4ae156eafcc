package sandbox

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
)

// minSecret is the least number of characters a hook secret has.
const minSecret = 32

// ServiceHooks is how many service hooks a connector has at Azure DevOps: one for each kind of event.
const ServiceHooks = 5

// Hooks says where the stand-ins send their webhooks, as an administrator would set them up by hand.
type Hooks struct {
	// Gateway is the base URL of the gateway.
	Gateway string
	// Connector is the connector's name in the hook URLs.
	Connector string
	// Secret is the hook secret; all credentials are derived from it.
	Secret string
	// AlvaoAlone leaves Azure DevOps out, where Tandem makes its service hooks itself.
	AlvaoAlone bool
	// Callback makes Azure DevOps post to the path of Alvao's own connector instead, without credentials, on changes of
	// the state alone: the subscription that Alvao's manual describes.
	Callback bool
	// Field watches the status by one `ticketfieldchanged` webhook instead of one `tickettransitionstostatus` for each
	// status.
	Field bool
	// Application switches on Alvao's companion application, Bodies makes it send the records' contents.
	Application, Bodies bool
}

// HookKey derives a credential from a hook secret: 64 lower-case hex digits of HKDF-SHA256 with the purpose as info.
func HookKey(secret, purpose string) (string, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, purpose, 32)
	if err != nil {
		return "", fmt.Errorf("deriving hook key: %w", err)
	}
	return hex.EncodeToString(key), nil
}

// Connect subscribes the gateway to both stand-ins.
func (s *Sandbox) Connect(h Hooks) error {
	h.Gateway, h.Secret = strings.TrimRight(h.Gateway, "/"), strings.TrimSpace(h.Secret)
	if h.Gateway == "" || h.Connector == "" || h.Secret == "" {
		return errNoHooks
	}
	if len(h.Secret) < minSecret {
		return fmt.Errorf("the hook secret has %d characters, at least %d are needed", len(h.Secret), minSecret)
	}
	if h.AlvaoAlone {
		return s.connectAlvao(h)
	}
	if err := s.connectAzureDevOps(h); err != nil {
		return fmt.Errorf("subscribing at Azure DevOps: %w", err)
	}
	if err := s.connectAlvao(h); err != nil {
		return fmt.Errorf("subscribing at Alvao: %w", err)
	}
	return nil
}

func (s *Sandbox) connectAzureDevOps(h Hooks) error {
	password, err := HookKey(h.Secret, "tandem/v1/hook/azure-devops")
	if err != nil {
		return err
	}
	projectID := s.projectID()
	admin := s.AzureDevOps.As(adminName)
	if h.Callback {
		_, err := admin.Subscribe("workitem.updated", map[string]string{"projectId": projectID, "changedFields": "System.State"}, map[string]string{
			"url": h.Gateway + "/AlvaoRestApi/Connectors/DevOpsCallback", "resourceDetailsToSend": "none", "messagesToSend": "none",
			"detailedMessagesToSend": "none",
		})
		return err //nolint:wrapcheck // the caller says what was done
	}
	for _, event := range []string{"workitem.created", "workitem.updated", "workitem.commented", "workitem.deleted", "workitem.restored"} {
		_, err := admin.Subscribe(event, map[string]string{"projectId": projectID}, map[string]string{
			"url": h.Gateway + "/hooks/azure-devops/" + h.Connector, "basicAuthUsername": "tandem", "basicAuthPassword": password,
			"resourceDetailsToSend": "all", "messagesToSend": "none", "detailedMessagesToSend": "none",
		})
		if err != nil {
			return err //nolint:wrapcheck // the caller says what was done
		}
	}
	return nil
}

func (s *Sandbox) connectAlvao(h Hooks) error {
	token, err := HookKey(h.Secret, "tandem/v1/hook/alvao/"+h.Connector)
	if err != nil {
		return err
	}
	key, err := HookKey(h.Secret, "tandem/v1/hook/alvao-application/"+h.Connector)
	if err != nil {
		return err
	}
	target := h.Gateway + "/hooks/alvao/" + h.Connector
	if h.Application {
		s.Alvao.SetApplication(&alvao.Application{URL: target, Key: key, Skip: []string{alvao.ApplicationAccount}, Bodies: h.Bodies})
	}
	service := s.Alvao.Services()[0]
	sub := alvao.Subscription{URL: target + "/" + token, Process: service.Process, Service: service.Name}
	if h.Field {
		sub.Topic, sub.FieldID = alvao.TopicField, alvao.StatusColumn
		_, err := s.Alvao.Subscribe(sub)
		return err //nolint:wrapcheck // the caller says what was done
	}
	for _, status := range s.Alvao.Statuses(service.Name) {
		sub.Topic, sub.Status = alvao.TopicStatus, status.Name
		if _, err := s.Alvao.Subscribe(sub); err != nil {
			return err //nolint:wrapcheck // the caller says what was done
		}
	}
	return nil
}
