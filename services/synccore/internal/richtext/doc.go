// Package richtext is the one boundary where the text of a message passes from
// one system to the other: Alvao's HTML or plain text, Azure DevOps' HTML or
// Markdown (azure-devops.md §2.7, alvao.md §2.4).
//
// Its one invariant: text is read into a document of our own that can't hold
// anything but text, structure, links of a person and the places of images, and
// what leaves is written from that document alone. So nothing crosses because
// nobody thought of forbidding it.
//
//	HTML ──── tokenizer ───┐                    ┌── HTML ── policy ──►
//	Markdown ─ goldmark ───┤ reader ─ document ─┼── Markdown ────────►
//	plain text ────────────┘                    ├── plain text ──────►
//	                                            └── Normal, references
//
// Hostile input costs little: what is read, how deep it nests, how many images
// it names and how much is written are all capped, every pass is linear, and
// nothing is ever fetched.
//
// What changes on the way, on purpose:
//
//   - A person mentioned by either vendor's markup becomes that person's plain
//     name. A typed @name or #123 (AB#123 too) reads the same but gets a word
//     joiner, U+2060, after its sign, which no vendor's pattern for mentions and
//     work items allows for. The joiner has no width and no effect but this; it is
//     taken out again when the text comes back and in Normal, so a round trip
//     returns what was written. A visible gap could not be told from one the
//     author typed. Code is left as it is: neither vendor looks for mentions there.
//   - An image stays only if it is on a host of its own system, attached or
//     inlined: it becomes a placeholder for the caller to fill in. Any other one
//     becomes a note with its name and host, without a link, since the address of
//     a tracker is the tracker; an image of a pixel or two is dropped.
//   - What Markdown has no word for is said in text: raised and lowered digits as
//     Unicode has them, boxes of task lists as ☐ and ☑.
package richtext
