// Command fakes3 serves a simulated S3 account on this machine; package fakes3 says
// what it simulates, package control how to order faults while it runs.
//
// It prints the URL it listens on as one line, and ends on SIGTERM, on SIGINT and,
// with -stdin, when its standard input closes: so it can't outlive its parent.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/glowplug/glowplug/gomod/fakes3"
	"github.com/glowplug/glowplug/gomod/fakes3/control"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("fakes3: ")
	var o fakes3.Options
	var useTLS bool
	var variant, quirks, key string
	tell := flag.Bool("regions", true, "put BucketRegion into parametrised ListBuckets answers; false is -quirks never-tell")
	stdin := flag.Bool("stdin", false, "end when standard input closes")
	flag.IntVar(&o.N, "n", 100, "number of buckets")
	flag.DurationVar(&o.Delay, "delay", 0, "simulated round trip: sleep per request")
	flag.DurationVar(&o.ConnDelay, "conndelay", 0, "simulated handshake: sleep per new connection")
	flag.BoolVar(&useTLS, "tls", false, "serve TLS; the same as -tls-variant valid")
	flag.StringVar(&variant, "tls-variant", "", "serve TLS with a certificate that is valid, expired, wrong-host, self-signed, untrusted, or with tls1.1 only")
	flag.StringVar(&o.CertDir, "certs", ".", "directory that ca.pem is written to when serving TLS")
	flag.StringVar(&o.Addr, "addr", "127.0.0.1:9100", "address to listen on; port 0 takes a free one")
	flag.StringVar(&quirks, "quirks", "", "differences of other servers, joined by commas: never-tell, ignore-max-buckets, own-region, repeat-token, endless-tokens, no-token, ignore-bucket-region")
	flag.StringVar(&key, "key", "", "verify signatures: ID:SECRET[:TOKEN] is the one key that is known")
	flag.StringVar(&o.Region, "region", "", "region of this endpoint, then strict about it; \"signed\" takes it from each signature")
	flag.IntVar(&o.BadRegion, "bad-region", 301, "HTTP status of HeadBucket through another region's endpoint: 301 or 400")
	flag.IntVar(&o.Quota, "quota", 10000, "bucket quota of the account; above 10000 unpaginated listings are refused")
	flag.BoolVar(&o.OldEU, "old-eu", false, "GetBucketLocation says EU for eu-west-1")
	flag.BoolVar(&o.DenyAnon, "deny-anonymous", false, "answer anonymous listings with 403 in place of S3's redirect")
	flag.StringVar(&o.Domain, "domain", "localhost", "virtual-hosted buckets are below this host name")
	flag.Parse()

	var err error
	if o.Quirks, err = fakes3.ParseQuirks(quirks); err != nil {
		log.Fatal(err)
	}
	if !*tell {
		o.Quirks |= fakes3.NeverTell
	}
	if o.TLS = fakes3.TLS(variant); useTLS && variant == "" {
		o.TLS = fakes3.ValidTLS
	}
	if key != "" {
		parts := strings.SplitN(key, ":", 3)
		if len(parts) < 2 {
			log.Fatal("-key wants ID:SECRET or ID:SECRET:TOKEN")
		}
		parts = append(parts, "")
		o.Keys = []fakes3.Key{{ID: parts[0], Secret: parts[1], Token: parts[2]}}
	}
	if err := run(o, *stdin); err != nil {
		log.Fatal(err)
	}
}

func run(o fakes3.Options, stdin bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if stdin {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	h, err := fakes3.New(o)
	if err != nil {
		return err
	}
	start := time.Now()
	srv, err := h.Serve(control.Handler(h), o)
	if err != nil {
		return err
	}
	fmt.Println(srv.URL)
	log.Printf("%s n=%d delay=%s tls=%s quirks=%s, up in %s", srv.URL, o.N, o.Delay, o.TLS, o.Quirks, time.Since(start).Round(time.Millisecond))
	<-ctx.Done()
	srv.Close()
	return nil
}
