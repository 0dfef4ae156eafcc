package item

import "time"

// Log is what is known of a ticket's log.
type Log struct {
	// Records are its entries, the oldest first.
	Records []Record
	// Partial tells that the records are those that Alvao's application told of: what is
	// not among them may exist all the same, and what was deleted is among them with
	// Removed.
	Partial bool
	// Told is when the application's last round that came to its end began, by the clock of
	// Redis: what stood in the log by then is among the Records. Zero: no round did. It
	// means nothing unless Partial.
	Told time.Time
}

// PushedRecord is a log record as Alvao's application told it.
type PushedRecord struct {
	Record
	// AsOf is when the application read the record, by the clock of Alvao's database. Of
	// two of one record the later counts.
	AsOf time.Time
	// Bare tells that nothing is told but Important and ShowToRequester.
	Bare bool
}
