package awsclient_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/awserr"
	"github.com/glowplug/glowplug/gomod/internal/awsclient"
)

// The answers in testdata/botocore.json are those of botocore's load_config, null where it refused the file.
func TestParserAgreesWithBotocore(t *testing.T) {
	data, err := os.ReadFile("testdata/botocore.json")
	require.NoError(t, err)
	var oracle struct {
		Cases []struct {
			Case, Input string
			Botocore    map[string]map[string]map[string]any
		}
	}
	require.NoError(t, json.Unmarshal(data, &oracle))
	require.Greater(t, len(oracle.Cases), 40)
	for _, c := range oracle.Cases {
		t.Run(c.Case, func(t *testing.T) {
			got, err := awsclient.ParseConfig([]byte(c.Input))
			if c.Botocore == nil {
				require.ErrorIs(t, err, awserr.Invalid)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.Botocore, got)
		})
	}
}

func TestParserWhereItGoesBeyondBotocore(t *testing.T) {
	for sentence, c := range map[string]struct {
		input string
		want  map[string]any
	}{
		"a comment may follow a value after a blank":  {"[default]\nregion = x # mine\n", map[string]any{"region": "x"}},
		"and by a semicolon after a tab":              {"[default]\nregion = x\t; mine\n", map[string]any{"region": "x"}},
		"a value that is only a comment is empty":     {"[default]\nregion = # mine\noutput = json\n", map[string]any{"region": "", "output": "json"}},
		"a command keeps its hash and its semicolon":  {"[default]\ncredential_process = a 'b # c' ; d\n", map[string]any{"credential_process": "a 'b # c' ; d"}},
		"a section that comes twice is one":           {"[default]\nregion = x\n[profile a]\n[default]\noutput = json\n", map[string]any{"region": "x", "output": "json"}},
		"of a value that comes twice the later wins":  {"[default]\nregion = x\nregion = y\n", map[string]any{"region": "y"}},
		"profile default adds to default":             {"[default]\nregion = x\noutput = text\n[profile default]\nregion = y\n", map[string]any{"region": "y", "output": "text"}},
		"a byte order mark is passed over":            {"\xef\xbb\xbf[default]\nregion = x\n", map[string]any{"region": "x"}},
		"blanks inside the brackets are passed over":  {"[ default ]\nregion = x\n", map[string]any{"region": "x"}},
		"a nested value may be followed by a comment": {"[default]\ns3 =\n  addressing_style = path # why\n", map[string]any{"s3": map[string]any{"addressing_style": "path"}}},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := awsclient.ParseConfig([]byte(c.input))
			require.NoError(t, err)
			require.Equal(t, c.want, got["profiles"]["default"])
		})
	}
}

func TestBadProfileFiles(t *testing.T) {
	for sentence, c := range map[string]struct{ input, want string }{
		"a line of no meaning is named by its number": {"[default]\nregion = x\n" + canary + "\n", ":3: "},
		"so is a nested one":                          {"[default]\ns3 =\n  " + canary + "\n", ":3: "},
		"and one before the first section":            {"aws_secret_access_key = " + canary + "\n", ":1: "},
		"and one that is not UTF-8":                   {"[default]\nx = " + canary + "\xff\n", ":2: "},
		"a file of more than 1 MiB is refused":        {"[default]\nx = " + canary + strings.Repeat("y", 1<<20) + "\n", "1 MiB"},
	} {
		t.Run(sentence, func(t *testing.T) {
			home := homeWith(t, c.input, "")
			_, err := awsclient.Resolve("s3", awsclient.Settings{}, map[string]string{"HOME": home})
			require.ErrorIs(t, err, awserr.Invalid)
			require.ErrorContains(t, err, filepath.Join(home, ".aws", "config"))
			require.ErrorContains(t, err, c.want)
			noCanary(t, err)
		})
	}
}

func TestWhereProfileFilesAreLookedFor(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.WriteFile(elsewhere, []byte("[default]\nregion = from-variable\n"), 0o600))
	home := homeWith(t, "[default]\nregion = from-home\n", "[default]\naws_access_key_id = AKID\naws_secret_access_key = x\n")
	twice := homeWith(t, "[default]\nregion = from-config\n", "[default]\nregion = from-credentials\n")
	tilde := homeWith(t, "", "")
	require.NoError(t, os.WriteFile(filepath.Join(tilde, "mine"), []byte("[default]\nregion = from-tilde\n"), 0o600))
	sealed := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(sealed, nil, 0o600))

	for sentence, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"under HOME":                                 {map[string]string{"HOME": home}, "from-home"},
		"under USERPROFILE without HOME":             {map[string]string{"USERPROFILE": home}, "from-home"},
		"nowhere without either":                     {nil, "us-east-1"},
		"at AWS_CONFIG_FILE":                         {map[string]string{"HOME": home, "AWS_CONFIG_FILE": elsewhere}, "from-variable"},
		"at AWS_CONFIG_FILE without a home":          {map[string]string{"AWS_CONFIG_FILE": elsewhere}, "from-variable"},
		"at AWS_CONFIG_FILE under ~":                 {map[string]string{"HOME": tilde, "AWS_CONFIG_FILE": "~/mine"}, "from-tilde"},
		"the credentials file wins":                  {map[string]string{"HOME": twice}, "from-credentials"},
		"AWS_CONFIG_FILE that is not there is empty": {map[string]string{"HOME": home, "AWS_CONFIG_FILE": "/nowhere/config"}, "us-east-1"},
		"so is a device":                             {map[string]string{"HOME": home, "AWS_CONFIG_FILE": "/dev/null"}, "us-east-1"},
		"so is a path through a file":                {map[string]string{"HOME": sealed}, "us-east-1"},
	} {
		t.Run(sentence, func(t *testing.T) {
			cfg, err := awsclient.Resolve("s3", awsclient.Settings{}, c.env)
			require.NoError(t, err)
			defer cfg.Close()
			require.Equal(t, c.want, cfg.Region)
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{"[default]\nregion = x\ns3 =\n  a = b\n", "[profile \"a b\"]\r\nx: y # z\r\n", "\xef\xbb\xbf[a\n", "[ ]\n=\n", "[]x\n", "]["} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := awsclient.ParseConfig(data)
		if err != nil {
			var e *awserr.Error
			require.True(t, errors.As(err, &e))
			require.Equal(t, awserr.Invalid, e.Kind)
			return
		}
		for _, sections := range got {
			for _, values := range sections {
				for name := range values {
					require.Equal(t, strings.TrimSpace(name), name)
					require.NotEmpty(t, name)
				}
			}
		}
	})
}
