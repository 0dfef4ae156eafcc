// Package schema says what a file of settings may hold: which keys, what each is for,
// what may stand there. It writes that as a JSON Schema, by which editors complete and
// explain, and as a page for people.
//
// Its one invariant: both are made of the same keys, and nothing is said of a key that
// the other does not say.
package schema

// Object is what an object of the file may hold.
type Object struct {
	// Name is its heading on the page where it stands in several places, such as
	// "A secret"; empty: it is told under the key that holds it.
	Name string
	// About is what the page says first, in sentences.
	About string
	// Keys are its keys, in the order that people are told of them.
	Keys []Key
	// Ways are choices; of each one way must fit.
	Ways [][]Way
}

// Way is one of several ways to fill an object in.
type Way struct {
	// Needs are keys that must be there, Without those that must not.
	Needs, Without []string
}

// Key is one key of an object.
type Key struct {
	// Name is the key as it is written.
	Name string
	// About says what it is for, in sentences. `…` is code.
	About string
	// Required keys have no default. Of the others either Default is the value that counts
	// without the key, as YAML, or Absent says in words what holds then.
	Required        bool
	Default, Absent string
	// Example is a value as YAML, one that is worth showing.
	Example string
	// Value says what may stand there.
	Value Value
}

// Names are the names of an object's keys, in their order.
func (o Object) Names() []string {
	names := make([]string, len(o.Keys))
	for i, key := range o.Keys {
		names[i] = key.Name
	}
	return names
}
