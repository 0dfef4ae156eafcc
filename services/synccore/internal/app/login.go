package app

import (
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/entra"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// login is how a connector is let into a system.
type login struct {
	// credential is nil where the adapter makes its own of user name and password.
	credential outbound.Credential
	// name tells whose it is, without a secret.
	name string
	// expiry is when the secret behind it ends; zero: not known.
	expiry func() time.Time
	close  func()
}

// boardsLogin is an access token of Azure DevOps, as the settings name it by number.
func (o *opener) boardsLogin(c config.Credential) (login, error) {
	l := login{credential: azuredevops.PAT(o.read(c.Ref)), name: c.Name(), expiry: o.expiry(c), close: func() {}}
	if c.Entra == nil && c.ManagedIdentity == nil {
		return l, nil
	}
	return o.entraLogin(l, c, azuredevops.EntraResource)
}

// deskLogin is Alvao's application account, or an application of Microsoft Entra that
// Alvao knows (alvao.md §1.1).
func (o *opener) deskLogin(c config.Credentials) (login, error) {
	l := login{name: "user " + c.Username, expiry: o.expiry(c.Credential), close: func() {}}
	if c.Username != "" {
		return l, nil
	}
	l.name = c.Name()
	return o.entraLogin(l, c.Credential, c.Application)
}

func (o *opener) entraLogin(l login, c config.Credential, resource string) (login, error) {
	options := entra.Options{Resource: resource, Base: o.entra, Now: o.now}
	var idle func()
	if options.Base == nil {
		pool, err := outbound.Transport("")
		if err != nil {
			return login{}, err
		}
		if c.ManagedIdentity != nil {
			// The endpoint is the machine's own.
			pool.Proxy = nil
		}
		options.Base, idle = pool, pool.CloseIdleConnections
	}
	if c.Entra != nil {
		options.Application = &entra.Application{Authority: c.Entra.Authority, Tenant: c.Entra.Tenant, ClientID: c.Entra.ClientID}
		if c.Entra.Certificate.IsZero() {
			options.Application.Secret = o.read(c.Entra.ClientSecret)
		} else {
			options.Application.Certificate = o.read(c.Entra.Certificate)
		}
	} else {
		options.Managed = &entra.Managed{ClientID: c.ManagedIdentity.ClientID}
	}
	source, err := entra.New(options)
	if err != nil {
		return login{}, err
	}
	l.credential = source
	l.close = func() {
		source.Close()
		if idle != nil {
			idle()
		}
	}
	return l, nil
}

// expiry is when a credential ends: on the declared day, or with its certificate.
func (o *opener) expiry(c config.Credential) func() time.Time {
	if c.Entra == nil || c.Entra.Certificate.IsZero() {
		return func() time.Time { return c.Expires }
	}
	read := o.read(c.Entra.Certificate)
	return func() time.Time {
		content, err := read()
		if err != nil {
			return c.Expires
		}
		end, err := entra.CertificateEnd(content)
		if err != nil || (!c.Expires.IsZero() && c.Expires.Before(end)) {
			return c.Expires
		}
		return end
	}
}
