package bridge

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/glowplug/glowplug/gomod/buckets"
)

// maxSeconds keeps a number of seconds within a time.Duration.
const maxSeconds = 365 * 24 * 3600

func seconds(name, value string) (time.Duration, error) {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(f) || f <= 0 {
		return 0, invalid("InvalidArgument", "%s=%.40s: give a positive number of seconds", name, value)
	}
	return max(1, time.Duration(min(f, maxSeconds)*float64(time.Second))), nil
}

func integer(name, value string) (int, error) {
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < 1 {
		return 0, invalid("InvalidArgument", "%s=%.40s: give a whole number from 1 up", name, value)
	}
	return int(n), nil
}

// parseOptions reads what Open is given.
func parseOptions(request string) (o buckets.Options, preconnect bool, err error) {
	o.Env = map[string]string{}
	for field := range strings.SplitSeq(request, unit) {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			continue
		}
		if variable, ok := strings.CutPrefix(name, "$"); ok {
			o.Env[variable] = value
			continue
		}
		switch name {
		case "region":
			o.Region = value
		case "endpoint_url":
			o.EndpointURL = value
		case "profile":
			o.Profile = value
		case "access_key_id":
			o.AccessKeyID = value
		case "secret_access_key":
			o.SecretAccessKey = value
		case "session_token":
			o.SessionToken = value
		case "addressing_style":
			o.AddressingStyle = value
		case "ca_bundle":
			o.CABundle = value
		case "use_fips":
			yes := value == "1"
			o.UseFIPS = &yes
		case "use_dualstack":
			yes := value == "1"
			o.UseDualStack = &yes
		case "timeout":
			o.Timeout, err = seconds(name, value)
		case "connect_timeout":
			o.ConnectTimeout, err = seconds(name, value)
		case "attempt_timeout":
			o.AttemptTimeout, err = seconds(name, value)
		case "max_attempts":
			o.MaxAttempts, err = integer(name, value)
		case "max_concurrency":
			o.MaxConcurrency, err = integer(name, value)
		case "cache_ttl":
			if value == "0" {
				o.CacheTTL = -1
			} else {
				o.CacheTTL, err = seconds(name, value)
			}
		case "preconnect":
			preconnect = value == "1"
		case "fault":
		default:
			err = invalid("InvalidArgument", "no option %.40q", name)
		}
		if err != nil {
			return o, false, err
		}
	}
	return o, preconnect, nil
}

// callOptions is what Start is given behind the verb.
type callOptions struct {
	verb    string
	query   buckets.Query
	names   []string
	timeout time.Duration
	notify  int64             // id of a notifier; 0: none
	log     bool              // say what happens
	trace   string            // X-Amzn-Trace-Id
	input   map[string]string // of an operation, by the API's names
}

func parseCall(verb string, fields []string) (o callOptions, err error) {
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "prefix":
			o.query.Prefix = value
		case "region":
			o.query.Region = value
		case "limit":
			o.query.Limit, err = integer(name, value)
		case "timeout":
			o.timeout, err = seconds(name, value)
		case "notify":
			o.notify, err = number(value)
		case "log":
			o.log = value == "1"
		case "trace":
			o.trace = value
		case "Bucket", "BucketRegion", "ContinuationToken", "ExpectedBucketOwner", "MaxBuckets", "Prefix":
			if o.input == nil {
				o.input = map[string]string{}
			}
			o.input[name] = value
		case "name":
			o.names = append(o.names, value)
		default:
			err = invalid("InvalidArgument", "%s has no option %.40q", verb, name)
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}
