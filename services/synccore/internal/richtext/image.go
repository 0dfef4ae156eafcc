package richtext

import (
	"encoding/base64"
	"html"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	// placeholder stands in for an image's address until WithImages.
	placeholder       = placeholderScheme + ":"
	placeholderScheme = "tandem-image"
	// imageRoom is how many units an image's address is allowed for.
	imageRoom = 300
	// maxName is how long a file's name may be, in bytes.
	maxName = 100
)

// Image is an inline image that may be carried over.
type Image struct {
	// Src is what the source says: an address, cid:…, data:… or Azure DevOps' own
	// \x06/{guid}.
	Src string
	// URL is the absolute address to read it from, below one of the source's roots;
	// empty for any other kind of Src.
	URL string
	// Name is a file name for it, without a folder, never empty.
	Name string
	// Alt is what the author wrote to be read in its place; may be empty.
	Alt string
}

// Inlined is the content of an image that the source holds itself, and its
// content type. False: it holds none, or not a picture.
func (i Image) Inlined() ([]byte, string, bool) {
	head, body, found := strings.Cut(i.Src, ",")
	if !found || !dataImage.MatchString(head+",") {
		return nil, "", false
	}
	body = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, body)
	content, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(body, "="))
	if err != nil || len(content) == 0 {
		return nil, "", false
	}
	kind, _, _ := strings.Cut(strings.TrimPrefix(strings.ToLower(head), "data:"), ";")
	if kind == "image/jpg" {
		kind = "image/jpeg"
	}
	return content, kind, true
}

var (
	dataImage  = regexp.MustCompile(`^(?i:data:image/(png|jpe?g|gif|webp|bmp);base64,)`)
	dataStart  = regexp.MustCompile(`(?i)data:[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,60};base64,`)
	unsafeName = regexp.MustCompile(`[\\/:*?"<>|\x00-\x1f\x7f]+`)
	// serverImage is how Azure DevOps writes its own attachments in rendered text.
	serverImage = regexp.MustCompile(`^\x06/?([0-9A-Fa-f-]{36})`)
	attachment  = regexp.MustCompile(`(?i)/_apis/wit/attachments/([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})(?:$|[/?])`)
	htmlImage   = regexp.MustCompile(`<img src="` + placeholder + `([0-9]+)" alt="([^"]*)"/?>`)
	markedImage = regexp.MustCompile(`!\[((?:[^\[\]\\]|\\.)*)\]\(` + placeholder + `([0-9]+)\)`)
)

// takeInlined takes the content of inlined images out of a text, so that what
// remains is small. It leaves tokens that classify knows.
func (b *builder) takeInlined(s string) string {
	if !strings.Contains(s, ";base64,") && !strings.Contains(s, ";BASE64,") {
		return s
	}
	b.token = "tandem-inlined"
	for strings.Contains(s, b.token) {
		b.token += "-"
	}
	b.token += ":"
	var out strings.Builder
	for {
		at := dataStart.FindStringIndex(s)
		if at == nil {
			break
		}
		end := at[1]
		for end < len(s) && base64Char(s[end]) {
			end++
		}
		for end > at[1] && (s[end-1] == '\n' || s[end-1] == '\r') {
			// The line end belongs to the text: a fence may follow.
			end--
		}
		out.WriteString(s[:at[0]])
		out.WriteString(b.token + strconv.Itoa(len(b.inline)) + ";")
		b.inline = append(b.inline, s[at[0]:end])
		s = s[end:]
	}
	out.WriteString(s)
	return out.String()
}

// putInlined puts back what was taken out of what turns out to be text.
func (b *builder) putInlined(s string) string {
	if len(b.inline) == 0 || !strings.Contains(s, b.token) {
		return s
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, b.token)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		number, rest, _ := strings.Cut(after, ";")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= len(b.inline) {
			out.WriteString(b.token)
			s = after
			continue
		}
		out.WriteString(b.inline[n])
		s = rest
	}
}

func base64Char(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=' || c == '\r' || c == '\n'
}

// roots reads the addresses below which a system serves its attachments.
func roots(addresses []string) []*url.URL {
	var out []*url.URL
	for _, a := range addresses {
		if u, err := url.Parse(a); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
			out = append(out, u)
		}
	}
	return out
}

// own tells that an address is below one of the source's roots. In the REST space
// of Azure DevOps only an attachment's content is an image: anything else there
// would be our token reading what the author may not.
func (b *builder) own(u *url.URL) bool {
	if u.User != nil || u.Path != path.Clean(u.Path) || strings.Contains(u.Path, `\`) {
		return false
	}
	if strings.Contains(strings.ToLower(u.Path), "/_apis/") && !attachment.MatchString(u.Path) {
		return false
	}
	return slices.ContainsFunc(b.roots, func(r *url.URL) bool {
		return u.Scheme == r.Scheme && strings.EqualFold(u.Host, r.Host) && strings.HasPrefix(u.Path, strings.TrimSuffix(r.Path, "/")+"/")
	})
}

// image puts an image on the line, or a note that says which one is missing.
func (b *builder) image(src, alt, title string, tiny bool) {
	src = strings.TrimSpace(src)
	if b.look.hidden || src == "" || tiny || b.full() {
		return
	}
	if alt == "" {
		alt = title
	}
	alt = strings.Join(strings.Fields(clean(alt)), " ")
	alt = clip(alt, 2*maxName)
	found, host := b.classify(src)
	found.Alt = alt
	if found.Name == "" {
		found.Name = fileName(alt)
	}
	if b.pre != nil {
		b.preText.WriteString(imageNote(found.Name, host))
		return
	}
	if found.Src == "" {
		if pictograph(alt) {
			b.write(alt)
			return
		}
		b.write(imageNote(found.Name, host))
		return
	}
	number, known := b.seen[found.Src]
	if !known {
		if len(b.doc.images) >= maxImages {
			b.dropped++
			return
		}
		if found.Name == "" {
			found.Name = "image-" + strconv.Itoa(len(b.doc.images)+1) + imageEnding(found.Src)
		}
		b.doc.images = append(b.doc.images, found)
		number = len(b.doc.images)
		b.seen[found.Src] = number
	}
	b.picture(number, alt)
}

// classify tells what an image's address is. An empty Src: it may not be carried
// over; then the host that has it is told.
func (b *builder) classify(src string) (Image, string) {
	lower := strings.ToLower(src)
	switch {
	case b.token != "" && strings.HasPrefix(src, b.token):
		return b.classifyData(b.putInlined(src))
	case strings.HasPrefix(lower, "data:"):
		return b.classifyData(src)
	case strings.HasPrefix(lower, "cid:") && len(src) <= maxAddress:
		name, _, _ := strings.Cut(src[len("cid:"):], "@")
		return Image{Src: src, Name: imageName(name)}, ""
	case serverImage.MatchString(src) && len(src) <= maxAddress:
		u, err := url.Parse(src[1:])
		if err != nil {
			return Image{}, ""
		}
		return Image{Src: src, Name: imageName(u.Query().Get("fileName"))}, ""
	}
	if len(src) > maxAddress {
		return Image{}, ""
	}
	u, err := url.Parse(b.resolve(src))
	if err != nil {
		return Image{}, ""
	}
	name := u.Query().Get("fileName")
	if name == "" {
		name = path.Base(u.Path)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return Image{Name: imageName(path.Base(strings.ReplaceAll(name, `\`, "/")))}, ""
	}
	if !b.own(u) {
		return Image{Name: imageName(name)}, u.Hostname()
	}
	return Image{Src: src, URL: u.String(), Name: imageName(name)}, ""
}

func (b *builder) classifyData(src string) (Image, string) {
	if !dataImage.MatchString(src[:min(len(src), 60)]) {
		return Image{}, ""
	}
	return Image{Src: src}, ""
}

// pictograph tells that an image's alternative text says all of it: Teams and
// others write emoji as images of their own.
func pictograph(alt string) bool {
	return alt != "" && units(alt) <= 12 && !strings.ContainsFunc(alt, func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsSpace(r) || r < 0x7f
	})
}

// imageEnding is the ending that suits an inlined image.
func imageEnding(src string) string {
	m := dataImage.FindStringSubmatch(src[:min(len(src), 60)])
	if m == nil {
		return ".png"
	}
	if kind := strings.ToLower(m[1]); kind != "jpeg" {
		return "." + kind
	}
	return ".jpg"
}

// imageName is fileName for a name that needs an ending to be one.
func imageName(s string) string {
	if !strings.Contains(s, ".") {
		return ""
	}
	return fileName(s)
}

// fileName makes s a name that both vendors take, or empty.
func fileName(s string) string {
	s = unsafeName.ReplaceAllString(clean(s), "_")
	s = strings.Trim(strings.Join(strings.Fields(s), " "), " ._")
	if len(s) <= maxName {
		return s
	}
	ending := path.Ext(s)
	if len(ending) > 10 {
		ending = ""
	}
	stem := clip(s[:len(s)-len(ending)], maxName/2)
	for len(stem)+len(ending) > maxName {
		stem = clip(stem, units(stem)-1)
	}
	return stem + ending
}

// Place says what became of an image. The zero value: it was not carried over.
type Place struct {
	// Address is where the target has the image; empty: a visible note stands there.
	Address string
	// Attached tells that the target has it beside the text: the note says so.
	Attached bool
}

// WithImages is the text with its placeholders replaced by the places of the images,
// one for each of Images; of those that are missing a note says so.
func (r Result) WithImages(places []Place) string {
	if len(r.Images) == 0 {
		return r.Text
	}
	fill := func(number, alt string) string {
		n, err := strconv.Atoi(number)
		if err != nil || n >= len(r.Images) {
			return ""
		}
		address, note := "", imageNote(r.Images[n].Name, "")
		if n < len(places) {
			address = webAddress(places[n].Address)
			if places[n].Attached {
				note = "[image attached: " + r.Images[n].Name + "]"
			}
		}
		switch {
		case r.format == Markdown && address == "":
			return escapeMarkdown(note)
		case r.format == Markdown:
			return "![" + alt + "](" + markdownAddress(address) + ")"
		case address == "":
			return html.EscapeString(note)
		default:
			return `<img src="` + html.EscapeString(address) + `" alt="` + alt + `">`
		}
	}
	if r.format == Markdown {
		return markedImage.ReplaceAllStringFunc(r.Text, func(s string) string {
			m := markedImage.FindStringSubmatch(s)
			return fill(m[2], m[1])
		})
	}
	return htmlImage.ReplaceAllStringFunc(r.Text, func(s string) string {
		m := htmlImage.FindStringSubmatch(s)
		return fill(m[1], m[2])
	})
}

// imageNote stands in the place of an image that isn't carried over.
func imageNote(name, host string) string {
	note := "[image not carried over"
	if name != "" {
		note += ": " + name
	}
	if host != "" {
		note += " (" + clip(clean(host), maxName) + ")"
	}
	return note + "]"
}

func moreImagesNote(n int) string {
	if n == 1 {
		return "[1 more image not carried over]"
	}
	return "[" + strconv.Itoa(n) + " more images not carried over]"
}

// imageIdentity tells apart two images of Azure DevOps, however their address is
// written: host, collection, project and file name vary for one and the same.
func imageIdentity(src string) string {
	for _, form := range []*regexp.Regexp{attachment, serverImage} {
		if m := form.FindStringSubmatch(src); m != nil {
			return strings.ToLower(strings.ReplaceAll(m[1], "-", ""))
		}
	}
	return ""
}
