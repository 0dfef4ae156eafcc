// Package template reads and renders the texts of a connector's AttributeMap:
// plain text with variables such as [$TicketTitle$], the same variables that
// Alvao offers in its status-change notification to requesters (Alvao: Message
// template page; alvao.md §4).
//
// Its one invariant: what a variable brings never becomes markup. A plain value
// stands escaped in an HTML target, and a rich value is what Data.Texts, the one
// boundary of texts, makes of it.
//
// How values are written:
//
//	dates       2026-11-21 15:04 CET in Text, Line and HTML, in Data.Location;
//	            RFC 3339 in UTC in Value
//	empty value nothing, save LatestImportantMessage, which is "-" as in Alvao
//	<b>…</b>    in the template's own text: kept in HTML, dropped elsewhere; any
//	            other tag there is shown as written, since Alvao knows no other
//
// Names are matched without regard to case, and blanks inside the brackets are
// ignored, because Alvao's own manual prints some names with a stray one.
package template
