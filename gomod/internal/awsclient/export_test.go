package awsclient

import "strings"

// ParseConfig gives the fuzz and oracle tests what one config file says, in the shape that botocore's load_config has.
func ParseConfig(data []byte) (map[string]map[string]map[string]any, error) {
	p := &profiles{profiles: map[string]section{}, sessions: map[string]section{}, services: map[string]section{}}
	sections, err := parseProfiles("config", data)
	if err != nil {
		return nil, err
	}
	for _, s := range sections {
		p.add(s, true)
	}
	return map[string]map[string]map[string]any{
		"profiles": nest(p.profiles), "sso_sessions": nest(p.sessions), "services": nest(p.services),
	}, nil
}

func nest(sections map[string]section) map[string]map[string]any {
	out := map[string]map[string]any{}
	for name, s := range sections {
		out[name] = map[string]any{}
		for key, value := range s {
			parent, child, ok := strings.Cut(key, "\n")
			if !ok {
				if _, block := out[name][key].(map[string]any); !block {
					out[name][key] = value
				}
				continue
			}
			block, _ := out[name][parent].(map[string]any)
			if block == nil {
				block = map[string]any{}
				out[name][parent] = block
			}
			block[child] = value
		}
	}
	return out
}
