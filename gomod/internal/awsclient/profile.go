package awsclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/glowplug/glowplug/gomod/awserr"
)

// maxProfileFile bounds each of the two files; AWS states no limit, and real ones stay under a few kB.
const maxProfileFile = 1 << 20

// section is what stands under one [header]. Names are lower case; see sub for an indented block.
type section map[string]string

// sub returns a value of the block that is indented under "name =".
func (s section) sub(name, key string) string { return s[nested(name, key)] }

// nested can't collide with a name of the file: none holds a line break.
func nested(name, key string) string { return name + "\n" + key }

// profiles is what the config file and the credentials file say together.
type profiles struct {
	profiles, sessions, services map[string]section
	home                         string   // for "~"; empty when the environment names none
	files                        []string // looked at, present or not, for messages
}

// loadProfiles reads both files, each at most once; a missing one is no error.
//
// Places: AWS_CONFIG_FILE else ~/.aws/config, AWS_SHARED_CREDENTIALS_FILE else ~/.aws/credentials, where ~ is HOME, else
// USERPROFILE. A value of the credentials file wins over the same name in the config file.
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
func loadProfiles(env map[string]string) (*profiles, error) {
	p := &profiles{
		profiles: map[string]section{},
		sessions: map[string]section{},
		services: map[string]section{},
		home:     coalesce(env["HOME"], env["USERPROFILE"]),
	}
	for _, file := range []struct{ variable, name string }{
		{"AWS_CONFIG_FILE", "config"},
		{"AWS_SHARED_CREDENTIALS_FILE", "credentials"},
	} {
		path := p.expand(env[file.variable])
		if path == "" {
			if p.home == "" {
				continue
			}
			path = filepath.Join(p.home, ".aws", file.name)
		}
		p.files = append(p.files, path)
		data, err := readRegular(path)
		if err != nil {
			return nil, err
		}
		if data == nil {
			continue
		}
		sections, err := parseProfiles(path, data)
		if err != nil {
			return nil, err
		}
		for _, s := range sections {
			p.add(s, file.name == "config")
		}
	}
	return p, nil
}

// add files a section under its kind. The config file names its kinds, and only "default" may stand alone there; in
// the credentials file each header is the name of a profile.
func (p *profiles) add(s parsedSection, config bool) {
	into, name := p.profiles, s.header
	if config && name != "default" {
		switch {
		case len(s.words) != 2:
			return
		case s.words[0] == "profile":
		case s.words[0] == "sso-session":
			into = p.sessions
		case s.words[0] == "services":
			into = p.services
		default:
			return
		}
		name = s.words[1]
	}
	if into[name] == nil {
		into[name] = section{}
	}
	for key, value := range s.values {
		into[name][key] = value
	}
}

// expand replaces a leading "~" by the home directory.
func (p *profiles) expand(path string) string {
	if p.home != "" && (path == "~" || strings.HasPrefix(path, "~/")) {
		return filepath.Join(p.home, path[1:])
	}
	return path
}

// places names the files for a sentence.
func (p *profiles) places() string {
	if len(p.files) == 0 {
		return "any file (HOME is not set)"
	}
	return strings.Join(p.files, " and ")
}

// readRegular returns nil for what botocore takes for absent too: nothing there, no way to it, or no regular file (/dev/null).
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) {
			return nil, nil
		}
		return nil, invalid(err, "%s can't be read: correct AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE", path)
	}
	if !info.Mode().IsRegular() {
		return nil, nil
	}
	data, err := readBounded(path, maxProfileFile)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, invalid(nil, "%s is larger than 1 MiB: that is no AWS configuration file", path)
	case err != nil:
		return nil, invalid(err, "%s can't be read: check its permissions", path)
	}
	return data, nil
}

var errTooLarge = errors.New("larger than its limit")

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLarge
	}
	return data, err
}

// parsedSection is one [header] with its values; one that comes twice is one section, and its later values win.
type parsedSection struct {
	header string
	words  []string // of the header, as a shell splits them
	values section
}

// parseProfiles reads the AWS dialect of INI as botocore does (Python's configparser plus one level of nesting), with two
// differences that the AWS file format asks for: a comment may follow a value after white space, and a section may
// come twice. An error names file and line and never quotes the line, which may hold a secret.
func parseProfiles(path string, data []byte) ([]parsedSection, error) {
	var (
		sections []parsedSection
		index    = map[string]int{}
		current  = -1
		option   string // the name that deeper indented lines belong to
		block    bool   // whether option opened a block of its own names
		depth    int    // the indentation of option's line
	)
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	number := 0
	for raw := range strings.Lines(string(data)) {
		number++
		bad := func(what string) error {
			return invalid(nil, "%s:%d: %s; correct or remove that line", path, number, what)
		}
		if !utf8.ValidString(raw) {
			return nil, bad("this line is not UTF-8")
		}
		raw = strings.TrimRight(raw, "\r\n")
		line := strings.TrimSpace(raw)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		indent := len(raw) - len(strings.TrimLeft(raw, " \t"))
		if option != "" && indent > depth {
			values := sections[current].values
			if !block {
				values[option] += "\n" + line
				continue
			}
			key, value, ok := strings.Cut(line, "=")
			if key = strings.TrimSpace(key); !ok || key == "" {
				return nil, bad(`an indented line must be "name = value"`)
			}
			values[nested(option, strings.ToLower(key))] = stripComment(value)
			continue
		}
		depth, option = indent, ""
		if line[0] == '[' {
			end := strings.LastIndexByte(line, ']')
			header := strings.TrimSpace(line[1:max(end, 1)])
			if end < 0 || header == "" {
				return nil, bad("a section must be [name]")
			}
			words, ok := splitWords(header)
			if !ok {
				words = []string{header}
			}
			i, seen := index[header]
			if !seen {
				i = len(sections)
				index[header] = i
				sections = append(sections, parsedSection{header, words, section{}})
			}
			current = i
			continue
		}
		at := strings.IndexAny(line, "=:")
		if at <= 0 || strings.TrimSpace(line[:at]) == "" {
			return nil, bad(`this is neither a [section] nor "name = value"`)
		}
		if current < 0 {
			return nil, bad("this stands before the first [section]")
		}
		option = strings.ToLower(strings.TrimSpace(line[:at]))
		value := stripComment(line[at+1:])
		if option == "credential_process" {
			// The shell that runs it has its own rules for "#" and ";".
			value = strings.TrimSpace(line[at+1:])
		}
		sections[current].values[option] = value
		block = value == ""
	}
	return sections, nil
}

// stripComment cuts at the first "#" or ";" that follows white space.
func stripComment(value string) string {
	for i := 1; i < len(value); i++ {
		if (value[i] == '#' || value[i] == ';') && (value[i-1] == ' ' || value[i-1] == '\t') {
			value = value[:i]
			break
		}
	}
	return strings.TrimSpace(value)
}

// splitWords splits as Python's shlex.split does; false when a quote stays open.
func splitWords(s string) (words []string, ok bool) {
	var (
		word  strings.Builder
		open  bool // inside a word, which may be empty: ''
		quote byte
	)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && (c == ' ' || c == '\t'):
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote == 0, c == '\\' && quote == '"' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			if i++; i == len(s) {
				return nil, false
			}
			word.WriteByte(s[i])
			open = true
		default:
			word.WriteByte(c)
			open = true
		}
	}
	if quote != 0 {
		return nil, false
	}
	if open {
		words = append(words, word.String())
	}
	return words, true
}

func coalesce(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func invalid(cause error, format string, args ...any) error {
	return &awserr.Error{Kind: awserr.Invalid, Code: "InvalidSetting", Message: fmt.Sprintf(format, args...), Err: cause}
}
