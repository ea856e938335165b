package listxml

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds nesting: S3's own documents are five elements deep.
const maxDepth = 32

var errCut = fmt.Errorf("%w: the body ends before the document does", ErrSyntax)

type tokenKind uint8

const (
	endOfInput tokenKind = iota
	startTag
	endTag
	chars
)

type token struct {
	kind tokenKind
	name string // local name of a tag
	text string // character data, unescaped
}

// scanner cuts a document into tags and character data.
type scanner struct {
	s     string
	at    int
	depth int
	open  [maxDepth]string // full names of the open elements
	empty bool             // the last start tag was <name/>: its end tag is due
	begun bool             // something was read: an XML declaration may not follow
}

// checkText refuses what no XML document may hold, in one pass ahead of the scan.
func (p *scanner) checkText() error {
	p.s = strings.TrimPrefix(p.s, "\ufeff")
	ascii := true
	for i := range len(p.s) {
		c := p.s[i]
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' {
			return fmt.Errorf("%w: control character 0x%02x at byte %d", ErrSyntax, c, i)
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if ascii {
		return nil
	}
	for i, r := range p.s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(p.s[i:]); size == 1 {
				return fmt.Errorf("%w: invalid UTF-8 at byte %d", ErrSyntax, i)
			}
		}
		if r == 0xfffe || r == 0xffff {
			return fmt.Errorf("%w: character U+%04X at byte %d", ErrSyntax, r, i)
		}
	}
	return nil
}

func (p *scanner) next() (token, error) {
	if p.empty {
		p.empty = false
		p.depth--
		return token{kind: endTag}, nil
	}
	for p.at < len(p.s) {
		rest := p.s[p.at:]
		if rest[0] != '<' {
			return p.charData(rest)
		}
		switch {
		case strings.HasPrefix(rest, "<?"):
			if err := p.instruction(rest); err != nil {
				return token{}, err
			}
		case strings.HasPrefix(rest, "<!--"):
			n := strings.Index(rest[4:], "--")
			if n < 0 {
				return token{}, errCut
			}
			if !strings.HasPrefix(rest[4+n:], "-->") {
				return token{}, p.syntax("-- inside a comment")
			}
			p.at += 4 + n + 3
		case strings.HasPrefix(rest, "<![CDATA["):
			text, _, found := strings.Cut(rest[9:], "]]>")
			if !found {
				return token{}, errCut
			}
			p.at += 9 + len(text) + 3
			return token{kind: chars, text: newlines(text)}, nil
		case strings.HasPrefix(rest, "<!"):
			return token{}, p.syntax("a document type declaration")
		case strings.HasPrefix(rest, "</"):
			p.begun = true
			return p.endTag(rest)
		default:
			p.begun = true
			return p.startTag(rest)
		}
		p.begun = true
	}
	return token{kind: endOfInput}, nil
}

func (p *scanner) syntax(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrSyntax, what, p.at)
}

// instruction skips <?...?>. The XML declaration may stand first only and name
// no other encoding than UTF-8.
func (p *scanner) instruction(rest string) error {
	body, _, found := strings.Cut(rest[2:], "?>")
	if !found {
		return errCut
	}
	target := body
	if cut := strings.IndexAny(target, " \t\r\n"); cut >= 0 {
		target = target[:cut]
	}
	if !isName(target) {
		return p.syntax("a processing instruction without a name")
	}
	if target == "xml" {
		declaration := body[3:]
		if p.begun {
			return p.syntax("an XML declaration inside the document")
		}
		if version, ok := pseudoAttribute(declaration, "version"); ok && version != "1.0" {
			return p.syntax("an XML version other than 1.0")
		}
		if encoding, ok := pseudoAttribute(declaration, "encoding"); ok && !strings.EqualFold(encoding, "utf-8") {
			return p.syntax("an encoding other than UTF-8")
		}
	}
	p.at += 2 + len(body) + 2
	return nil
}

func pseudoAttribute(declaration, name string) (string, bool) {
	_, rest, found := strings.Cut(declaration, name+"=")
	if !found || rest == "" || (rest[0] != '"' && rest[0] != '\'') {
		return "", found
	}
	value, _, _ := strings.Cut(rest[1:], rest[:1])
	return value, true
}

func (p *scanner) charData(rest string) (token, error) {
	n := strings.IndexByte(rest, '<')
	if n < 0 {
		n = len(rest)
	}
	text := rest[:n]
	if strings.Contains(text, "]]>") {
		return token{}, p.syntax("]]> in text")
	}
	text, err := p.unescape(text)
	p.at += n
	p.begun = true
	return token{kind: chars, text: text}, err
}

func (p *scanner) endTag(rest string) (token, error) {
	n := strings.IndexByte(rest, '>')
	if n < 0 {
		return token{}, errCut
	}
	name := strings.TrimRight(rest[2:n], " \t\r\n")
	if p.depth == 0 || p.open[p.depth-1] != name {
		return token{}, p.syntax("an end tag that closes nothing")
	}
	p.depth--
	p.at += n + 1
	return token{kind: endTag}, nil
}

func (p *scanner) startTag(rest string) (token, error) {
	n := strings.IndexAny(rest, " \t\r\n/>")
	if n < 0 {
		return token{}, errCut
	}
	full := rest[1:n]
	name, ok := localName(full)
	if !ok {
		return token{}, p.syntax("a tag without a proper name")
	}
	if p.depth == maxDepth {
		return token{}, p.syntax(fmt.Sprintf("more than %d nested elements", maxDepth))
	}
	p.open[p.depth] = full
	p.depth++
	for {
		n += len(rest[n:]) - len(strings.TrimLeft(rest[n:], " \t\r\n"))
		if n == len(rest) {
			return token{}, errCut
		}
		if rest[n] == '>' {
			p.at += n + 1
			return token{kind: startTag, name: name}, nil
		}
		if rest[n] == '/' {
			if !strings.HasPrefix(rest[n:], "/>") {
				return token{}, p.syntax("a stray /")
			}
			p.at += n + 2
			p.empty = true
			return token{kind: startTag, name: name}, nil
		}
		used, err := p.attribute(rest[n:])
		if err != nil {
			return token{}, err
		}
		n += used
	}
}

// attribute checks one name="value" and tells its length; nothing we read is in attributes.
func (p *scanner) attribute(s string) (int, error) {
	eq := strings.IndexByte(s, '=')
	if eq < 0 {
		return 0, p.syntax("an attribute without a value")
	}
	if _, ok := localName(strings.TrimRight(s[:eq], " \t\r\n")); !ok {
		return 0, p.syntax("an attribute without a proper name")
	}
	value := strings.TrimLeft(s[eq+1:], " \t\r\n")
	if value == "" {
		return 0, errCut
	}
	quote := value[0]
	if quote != '"' && quote != '\'' {
		return 0, p.syntax("an attribute without quotes")
	}
	end := strings.IndexByte(value[1:], quote)
	if end < 0 {
		return 0, errCut
	}
	if strings.IndexByte(value[1:1+end], '<') >= 0 {
		return 0, p.syntax("< in an attribute")
	}
	if _, err := p.unescape(value[1 : 1+end]); err != nil {
		return 0, err
	}
	return len(s) - len(value) + end + 2, nil
}

// localName is the part of a tag's name behind its namespace prefix.
func localName(full string) (string, bool) {
	prefix, local, found := strings.Cut(full, ":")
	if !found {
		return full, isName(full)
	}
	return local, isName(prefix) && isName(local)
}

// isName accepts the ASCII names that S3's documents use, a part of what XML allows.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// newlines folds CR LF and CR to LF, as XML 1.0 section 2.11 asks.
func newlines(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

func (p *scanner) unescape(s string) (string, error) {
	s = newlines(s)
	n := strings.IndexByte(s, '&')
	if n < 0 {
		return s, nil
	}
	var b strings.Builder
	for ; n >= 0; n = strings.IndexByte(s, '&') {
		b.WriteString(s[:n])
		end := strings.IndexByte(s[n:], ';')
		if end < 0 {
			return "", p.syntax("an unfinished entity")
		}
		r, ok := entity(s[n+1 : n+end])
		if !ok {
			return "", p.syntax("an unknown entity")
		}
		b.WriteRune(r)
		s = s[n+end+1:]
	}
	b.WriteString(s)
	return b.String(), nil
}

func entity(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	digits, base := strings.TrimPrefix(name, "#"), rune(10)
	if digits == name {
		return 0, false
	}
	if hex := strings.TrimPrefix(digits, "x"); hex != digits {
		digits, base = hex, 16
	}
	var r rune
	for _, c := range []byte(digits) {
		var v rune
		switch {
		case c >= '0' && c <= '9':
			v = rune(c - '0')
		case base == 16 && c >= 'a' && c <= 'f':
			v = rune(c-'a') + 10
		case base == 16 && c >= 'A' && c <= 'F':
			v = rune(c-'A') + 10
		default:
			return 0, false
		}
		if r = r*base + v; r > utf8.MaxRune {
			return 0, false
		}
	}
	text := r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r != 0xfffe && r != 0xffff && utf8.ValidRune(r)
	return r, digits != "" && text
}
