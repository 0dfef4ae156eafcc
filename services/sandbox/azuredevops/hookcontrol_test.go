package azuredevops_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
)

// TestHookControl: what people do to a subscription in the project's settings.
func TestHookControl(t *testing.T) {
	t.Parallel()
	s := azuredevops.New(azuredevops.Options{})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	person := s.As("jana.dvorakova@contoso.com")
	id, err := person.Subscribe("workitem.updated", nil, map[string]string{"url": "http://gateway.example/", "basicAuthPassword": "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if password, err := s.SubscriptionPassword(id); password != "secret" || err != nil {
		t.Errorf("%q, %v", password, err)
	}
	if err := s.SetSubscriptionStatus(id, "disabledByUser"); err != nil {
		t.Error(err)
	}
	subs := s.Subscriptions()
	if len(subs) != 1 || subs[0].Status != "disabledByUser" || subs[0].ConsumerInputs["basicAuthPassword"] != "" || subs[0].Creator != "jana.dvorakova@contoso.com" {
		t.Errorf("%+v", subs)
	}
	var refusal *azuredevops.Error
	if err := s.SetSubscriptionStatus(id, "resting"); !errors.As(err, &refusal) || refusal.Status != http.StatusBadRequest {
		t.Errorf("%v", err)
	}
	if err := person.Unsubscribe(id); err != nil || len(s.Subscriptions()) != 0 {
		t.Errorf("%v, %+v", err, s.Subscriptions())
	}
	for _, err := range []error{person.Unsubscribe(id), s.SetSubscriptionStatus(id, "enabled"), func() error { _, err := s.SubscriptionPassword(id); return err }()} {
		if !errors.As(err, &refusal) || refusal.Status != http.StatusNotFound {
			t.Errorf("%v", err)
		}
	}
}
