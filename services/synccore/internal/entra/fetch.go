package entra

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/managedidentity"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/weburl"
)

// Authorities are the places that tokens may be asked for at: Microsoft's public cloud
// and its national ones (Microsoft identity platform: national clouds).
func Authorities() []string {
	return []string{
		"https://login.microsoftonline.com", "https://login.microsoftonline.us", "https://login.partner.microsoftonline.cn",
	}
}

// application fetches tokens as a service principal.
func application(a Application, resource string, base http.RoundTripper) (func(context.Context) (token, error), error) {
	if a.Authority == "" {
		a.Authority = Authorities()[0]
	}
	if !slices.Contains(Authorities(), a.Authority) {
		return nil, fault.New(fault.Misconfigured, "The authority %s is none of Microsoft Entra's; use one of: %s.", a.Authority, strings.Join(Authorities(), ", "))
	}
	origin, err := outbound.ParseOrigin(a.Authority)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (token, error) {
		credential, err := a.credential()
		if err != nil {
			return token{}, err
		}
		answers := &answers{allowed: origin.Holds, next: base}
		// A client of its own for each token: it holds no token that was refused, and no
		// secret that was replaced. Without instance discovery it asks nobody but the
		// authority; which hosts are Microsoft's is known here.
		client, err := confidential.New(a.Authority+"/"+url.PathEscape(a.Tenant), a.ClientID, credential,
			confidential.WithHTTPClient(answers.client()), confidential.WithInstanceDiscovery(false), confidential.WithAzureRegion("DisableMsalForceRegion"))
		if err != nil {
			return token{}, fault.New(fault.BadToken, "The tenant %s can't be asked for a token; correct it in the configuration.", a.Tenant)
		}
		result, err := client.AcquireTokenByCredential(ctx, []string{resource + "/.default"})
		if err != nil {
			return token{}, answers.fault(ctx, err, a.what(), a.ClientID)
		}
		return made(result.AccessToken, result.Metadata.RefreshOn, result.ExpiresOn)
	}, nil
}

func (a Application) what() string {
	if a.Certificate != nil {
		return "certificate"
	}
	return "client secret"
}

// credential reads the secret or the certificate as it is now.
func (a Application) credential() (confidential.Credential, error) {
	read := a.Secret
	if a.Certificate != nil {
		read = a.Certificate
	}
	if read == nil {
		return confidential.Credential{}, fault.New(fault.BadToken, "No client secret and no certificate is configured for application %s.", a.ClientID)
	}
	content, err := read()
	if err != nil {
		return confidential.Credential{}, fault.Wrap(err, fault.BadToken,
			"The %s of application %s can't be read; check the file or variable that holds it.", a.what(), a.ClientID)
	}
	var credential confidential.Credential
	if a.Certificate == nil {
		credential, err = confidential.NewCredFromSecret(content)
	} else {
		certificates, key, broken := confidential.CertFromPEM([]byte(content), "")
		if err = broken; err == nil {
			credential, err = confidential.NewCredFromCert(certificates, key)
		}
	}
	if err != nil {
		// The parser's words may repeat what it read.
		return confidential.Credential{}, fault.New(fault.BadToken,
			"The %s of application %s can't be used; a certificate must be PEM together with its private key, without a password.", a.what(), a.ClientID)
	}
	return credential, nil
}

// managed fetches tokens as the machine's managed identity.
func managed(m Managed, resource string, base http.RoundTripper) func(context.Context) (token, error) {
	id := managedidentity.SystemAssigned()
	name := "the system-assigned one"
	if m.ClientID != "" {
		id, name = managedidentity.UserAssignedClientID(m.ClientID), m.ClientID
	}
	return func(ctx context.Context) (token, error) {
		answers := &answers{allowed: local, next: base}
		client, err := managedidentity.New(id, managedidentity.WithHTTPClient(answers.client()))
		if err != nil {
			return token{}, fault.New(fault.BadToken, "The managed identity (%s) can't be used on this machine.", name)
		}
		// The library's cache is the whole process' and may hold a refused token; asking for
		// claims passes it by. Ours is in Source.
		result, err := client.AcquireToken(ctx, resource, managedidentity.WithClaims("{}"))
		if err != nil {
			return token{}, answers.fault(ctx, err, "managed identity", name)
		}
		return made(result.AccessToken, result.Metadata.RefreshOn, result.ExpiresOn)
	}
}

// local tells whether an address is the machine's own endpoint for managed identities:
// the one of Azure's virtual machines, of Azure Arc, or the one that the surroundings
// name (Microsoft Entra: how to use managed identities).
func local(u *url.URL) bool {
	host := weburl.HostPort(u)
	if host == "169.254.169.254" || host == "127.0.0.1:40342" || host == "localhost:40342" {
		return true
	}
	for _, name := range []string{"IDENTITY_ENDPOINT", "MSI_ENDPOINT", "IMDS_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST"} {
		if named, err := url.Parse(os.Getenv(name)); err == nil && named.Host != "" && named.Scheme == u.Scheme && weburl.HostPort(named) == host {
			return true
		}
	}
	return false
}

func made(value string, refresh, expires time.Time) (token, error) {
	if value == "" || strings.ContainsAny(value, "\r\n") {
		return token{}, fault.New(fault.Unavailable, "Microsoft Entra answered without a token; Tandem asks again by itself.")
	}
	return token{value: value, refresh: refresh, expires: expires}, nil
}

// most is how much of an answer is read.
const most = 1 << 20

// answers sends the requests of one fetch to allowed places, and keeps what the last
// refusal said in codes.
type answers struct {
	allowed func(*url.URL) bool
	next    http.RoundTripper

	foreign bool
	status  int
	refusal refusal
}

// refusal is an error answer (Microsoft identity platform: error response).
type refusal struct {
	Error string `json:"error"`
	Codes []int  `json:"error_codes"`
}

func (a *answers) client() *http.Client {
	return &http.Client{
		Transport: a,
		// A redirect would take the secret elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip implements http.RoundTripper. The requests of a fetch follow each other.
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if !a.allowed(r.URL) {
		a.foreign = true
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, outbound.ErrForeign
	}
	resp, err := a.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	a.status, a.refusal = resp.StatusCode, refusal{}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("reading answer: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		// What is no JSON says nothing.
		_ = json.Unmarshal(body, &a.refusal)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// fault says why no token came, without the library's words, which repeat answers.
func (a *answers) fault(ctx context.Context, err error, what, who string) error {
	var codes []string
	for _, code := range a.refusal.Codes {
		codes = append(codes, fmt.Sprintf("AADSTS%d", code))
	}
	if len(codes) == 0 && plain(a.refusal.Error) {
		codes = []string{a.refusal.Error}
	}
	told := ""
	if len(codes) > 0 {
		told = " (" + strings.Join(codes, ", ") + ")"
	}
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return fmt.Errorf("asking Microsoft Entra for a token: %w", ctx.Err())
	case a.foreign:
		return fault.New(fault.BadToken, "Microsoft Entra sent the request for a token of %s to another place, which was not asked.", who)
	case a.status == 0 || a.status < 300 || a.status >= 500 || a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout:
		return fault.New(fault.Unavailable, "Microsoft Entra can't be asked for a token of %s now%s; Tandem asks again by itself.", who, told)
	default:
		return fault.New(fault.BadToken, "Microsoft Entra refuses the %s of %s%s; %s", what, who, told, remedy(a.refusal.Codes, what))
	}
}

// remedy says what to do about a code (Microsoft Entra: authentication error codes).
func remedy(codes []int, what string) string {
	for _, code := range codes {
		switch code {
		case 7000215:
			return "put the secret's value, not its id, in its place; everything waits until then."
		case 7000222:
			return "it has expired: make a new one and put it in its place; everything waits until then."
		case 700027, 7000213:
			return "add the certificate to the application; everything waits until then."
		case 700016:
			return "the tenant has no such application: correct tenant and clientId."
		case 90002, 900021, 900023:
			return "there is no such tenant: correct it."
		case 500011, 500341, 650057:
			return "the application that the token is for is not known in the tenant, or does not allow it."
		}
	}
	if what == "managed identity" {
		return "give the machine that identity, or correct clientId; everything waits until then."
	}
	return "put a valid one in its place; everything waits until then."
}

// plain tells whether a text is an error's name, such as invalid_client.
func plain(text string) bool {
	return text != "" && len(text) <= 64 && strings.IndexFunc(text, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z')
	}) < 0
}

// CheckCertificate tells whether a PEM text holds a certificate and a private key that
// can be used.
func CheckCertificate(content string) error {
	certificates, key, err := confidential.CertFromPEM([]byte(content), "")
	if err == nil {
		_, err = confidential.NewCredFromCert(certificates, key)
	}
	if err != nil {
		// The parser's words may repeat what it read.
		return errors.New("it holds no certificate with its private key that can be used")
	}
	return nil
}

// CertificateEnd is when the first certificate of a PEM text ends.
func CertificateEnd(content string) (time.Time, error) {
	rest := []byte(content)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return time.Time{}, errors.New("it holds no PEM certificate")
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, errors.New("its certificate can't be read")
		}
		return certificate.NotAfter, nil
	}
}
