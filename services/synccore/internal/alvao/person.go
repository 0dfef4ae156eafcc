package alvao

import (
	"context"
	"net/http"
	"strconv"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

// Person reads a user by id; NotFound where there is none or the account may not read
// people. Remembered for PersonTTL, also that there is none.
func (c *Client) Person(ctx context.Context, id int64) (item.Person, error) {
	subject := "person " + strconv.FormatInt(id, 10)
	found, err := c.people.Get(ctx, strconv.FormatInt(id, 10), func(ctx context.Context) (*item.Person, error) {
		people, err := c.users(ctx, "id eq "+strconv.FormatInt(id, 10), subject)
		if err != nil {
			return nil, err
		}
		for _, w := range people {
			if int64(w.ID) == id {
				p := person(w)
				return &p, nil
			}
		}
		return nil, nil //nolint:nilnil // nobody is an answer that is remembered
	})
	return somebody(found, err, subject)
}

// FindPerson finds the one active user with that login, else with that e-mail
// address. Nobody and more than one are NotFound: a guess would put words into
// somebody's mouth. Remembered for PersonTTL, also that there is none.
func (c *Client) FindPerson(ctx context.Context, login string) (item.Person, error) {
	subject := "person with the user name " + login
	found, err := c.logins.Get(ctx, fold(login), func(ctx context.Context) (*item.Person, error) {
		for _, column := range []string{"login", "email"} {
			people, err := c.users(ctx, column+" eq "+literal(login), subject)
			if err != nil {
				return nil, err
			}
			var hits []item.Person
			for _, w := range people {
				p := person(w)
				if matches := fold(p.Login) == fold(login) || fold(p.Email) == fold(login); matches && w.usable() {
					hits = append(hits, p)
				}
			}
			if len(hits) == 1 {
				return &hits[0], nil
			}
			if len(hits) > 1 {
				break
			}
		}
		return nil, nil //nolint:nilnil // nobody is an answer that is remembered
	})
	return somebody(found, err, subject)
}

// Account is the number of the person that the client signs in as; NotFound where that
// can't be told: for an application of Microsoft Entra, whose login at Alvao is not
// known here, and where the account may not read people. Remembered for PersonTTL.
func (c *Client) Account(ctx context.Context) (int64, error) {
	subject := "person with the account's user name"
	if c.login == "" {
		found, err := somebody(nil, nil, subject)
		return found.ID, err
	}
	// Unlike somebody to be matched, the account may be hidden.
	found, err := c.people.Get(ctx, "login\x00"+fold(c.login), func(ctx context.Context) (*item.Person, error) {
		people, err := c.users(ctx, "login eq "+literal(c.login), subject)
		if fault.Is(err, fault.Denied) {
			return nil, nil //nolint:nilnil // a right that is missing is an answer, too
		}
		if err != nil {
			return nil, err
		}
		for _, w := range people {
			if p := person(w); fold(p.Login) == fold(c.login) {
				return &p, nil
			}
		}
		return nil, nil //nolint:nilnil // nobody is an answer that is remembered
	})
	account, err := somebody(found, err, subject)
	return account.ID, err
}

func somebody(found *item.Person, err error, subject string) (item.Person, error) {
	switch {
	case err != nil:
		return item.Person{}, err
	case found == nil:
		return item.Person{}, fault.New(fault.NotFound, "Alvao shows no %s to the account; add the account to Contact readers if there should be one.", subject)
	default:
		return *found, nil
	}
}

func (c *Client) users(ctx context.Context, filter, subject string) ([]wirePerson, error) {
	var o odata
	o.add("$filter", filter)
	o.addInt("$top", 10)
	var w struct {
		Value lenient.List[wirePerson] `json:"value"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/users?" + o.String(), subject: subject, deed: "look for"}, &w)
	if fault.Is(err, fault.Denied) {
		err = fault.Wrap(err, fault.Denied, "The account may not read people in Alvao; add it to the group Contact readers.")
	}
	return w.Value, err
}
