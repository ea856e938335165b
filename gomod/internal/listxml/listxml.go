// Package listxml decodes S3's ListAllMyBucketsResult without reflection.
//
// encoding/xml doubles the time of a listing of 1,000 buckets; this scanner
// walks the body once and shares its bytes with the result. It accepts no
// document that encoding/xml refuses, and refuses document type declarations
// and deep nesting besides.
//
// Source of the shape: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html
package listxml

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithytime "github.com/aws/smithy-go/time"
)

// ErrSyntax is wrapped by every error about a body that is not the XML we expect.
var ErrSyntax = errors.New("not the XML that S3 sends")

// ServiceError is an <Error> document that arrived in place of a listing.
type ServiceError struct {
	Code, Message, RequestID string
}

// Error says code and message.
func (e *ServiceError) Error() string { return e.Code + ": " + e.Message }

// Decode reads one ListAllMyBucketsResult. The result's strings share body's
// memory, so the caller gives body away. Errors: a [ServiceError] when S3
// answered with an error document, else one that wraps [ErrSyntax].
func Decode(body []byte) (*s3.ListBucketsOutput, error) {
	d := decoder{scanner: scanner{s: unsafe.String(unsafe.SliceData(body), len(body))}}
	if err := d.scanner.checkText(); err != nil {
		return nil, err
	}
	t, err := d.root()
	if err != nil {
		return nil, err
	}
	switch t.name {
	case "ListAllMyBucketsResult":
		if err = d.listing(); err == nil {
			err = d.end()
		}
		return &d.out, err
	case "Error":
		e := &ServiceError{}
		err = d.children(func(name string) (err error) {
			switch name {
			case "Code":
				e.Code, err = d.text()
			case "Message":
				e.Message, err = d.text()
			case "RequestId":
				e.RequestID, err = d.text()
			default:
				err = d.skip()
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		return nil, e
	}
	return nil, fmt.Errorf("%w: the document is a <%.40s>", ErrSyntax, t.name)
}

// DecodeLocation reads the LocationConstraint that GetBucketLocation answers with;
// null, an empty element, is "". Errors: as of Decode. The SDK takes any document,
// even none, for null, which would tell a region that nobody named.
func DecodeLocation(body []byte) (string, error) {
	d := decoder{scanner: scanner{s: unsafe.String(unsafe.SliceData(body), len(body))}}
	if err := d.scanner.checkText(); err != nil {
		return "", err
	}
	t, err := d.root()
	if err != nil {
		return "", err
	}
	if t.name != "LocationConstraint" {
		return "", fmt.Errorf("%w: the document is a <%.40s>", ErrSyntax, t.name)
	}
	text, err := d.text()
	if err != nil {
		return "", err
	}
	return strings.Clone(text), d.end()
}

type decoder struct {
	scanner
	out s3.ListBucketsOutput

	// Pointers in the SDK's output point into these chunks: one allocation for many.
	strings []string
	times   []time.Time
}

func (d *decoder) root() (token, error) {
	for {
		t, err := d.next()
		if err != nil {
			return t, err
		}
		switch t.kind {
		case startTag:
			return t, nil
		case chars:
			if strings.TrimSpace(t.text) != "" {
				return t, fmt.Errorf("%w: text before the first element", ErrSyntax)
			}
		case endOfInput:
			return t, fmt.Errorf("%w: the body is empty", ErrSyntax)
		}
	}
}

// end refuses anything but white space behind the root element.
func (d *decoder) end() error {
	for {
		t, err := d.next()
		if err != nil {
			return err
		}
		switch {
		case t.kind == endOfInput:
			return nil
		case t.kind == chars && strings.TrimSpace(t.text) == "":
		default:
			return fmt.Errorf("%w: content after the document's end", ErrSyntax)
		}
	}
}

func (d *decoder) listing() error {
	return d.children(func(name string) (err error) {
		switch name {
		case "Buckets":
			return d.children(d.bucket)
		case "Owner":
			d.out.Owner = &types.Owner{}
			return d.children(func(name string) (err error) {
				switch name {
				case "ID":
					d.out.Owner.ID, err = d.pointer()
				case "DisplayName":
					d.out.Owner.DisplayName, err = d.pointer()
				default:
					err = d.skip()
				}
				return err
			})
		case "ContinuationToken":
			d.out.ContinuationToken, err = d.pointer()
		case "Prefix":
			d.out.Prefix, err = d.pointer()
		default:
			err = d.skip()
		}
		return err
	})
}

func (d *decoder) bucket(name string) error {
	if name != "Bucket" {
		return d.skip()
	}
	if d.out.Buckets == nil {
		// A bucket's element is never shorter than 100 bytes on AWS; append grows the rest.
		d.out.Buckets = make([]types.Bucket, 0, min(len(d.s)/100+1, 10_000))
	}
	var b types.Bucket
	err := d.children(func(name string) (err error) {
		switch name {
		case "Name":
			b.Name, err = d.pointer()
		case "BucketRegion":
			b.BucketRegion, err = d.pointer()
		case "BucketArn":
			b.BucketArn, err = d.pointer()
		case "CreationDate":
			b.CreationDate, err = d.date()
		default:
			err = d.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	if b.Name == nil {
		return fmt.Errorf("%w: a <Bucket> without <Name>", ErrSyntax)
	}
	d.out.Buckets = append(d.out.Buckets, b)
	return nil
}

// children calls f for each child element until the open element ends; f
// consumes its element.
func (d *decoder) children(f func(name string) error) error {
	for {
		t, err := d.next()
		if err != nil {
			return err
		}
		switch t.kind {
		case startTag:
			if err := f(t.name); err != nil {
				return err
			}
		case endTag:
			return nil
		case endOfInput:
			return errCut
		}
	}
}

// text reads the open element's own character data and consumes the element.
func (d *decoder) text() (string, error) {
	var s string
	for {
		t, err := d.next()
		if err != nil {
			return "", err
		}
		switch t.kind {
		case chars:
			if s == "" {
				s = t.text
			} else {
				s += t.text
			}
		case startTag:
			if err := d.skip(); err != nil {
				return "", err
			}
		case endTag:
			return s, nil
		case endOfInput:
			return "", errCut
		}
	}
}

func (d *decoder) skip() error {
	for depth := d.depth; ; {
		t, err := d.next()
		if err != nil {
			return err
		}
		if t.kind == endOfInput {
			return errCut
		}
		if t.kind == endTag && d.depth < depth {
			return nil
		}
	}
}

const chunk = 512

func (d *decoder) pointer() (*string, error) {
	s, err := d.text()
	if err != nil {
		return nil, err
	}
	if len(d.strings) == cap(d.strings) {
		d.strings = make([]string, 0, min(chunk, len(d.s)/64+4))
	}
	d.strings = append(d.strings, s)
	return &d.strings[len(d.strings)-1], nil
}

func (d *decoder) date() (*time.Time, error) {
	s, err := d.text()
	if err != nil {
		return nil, err
	}
	t, ok := parseDate(s)
	if !ok {
		if t, err = smithytime.ParseDateTime(s); err != nil {
			return nil, fmt.Errorf("%w: CreationDate %.40q is no date", ErrSyntax, s)
		}
	}
	if len(d.times) == cap(d.times) {
		d.times = make([]time.Time, 0, min(chunk, len(d.s)/128+2))
	}
	// Python's dates end with the year 9999.
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return nil, fmt.Errorf("%w: CreationDate %.40q is outside the years 1 to 9999", ErrSyntax, s)
	}
	d.times = append(d.times, t)
	return &d.times[len(d.times)-1], nil
}

// parseDate reads the form that S3 sends, 2006-01-02T15:04:05.000Z with or
// without the fraction; ok is false for any other form.
func parseDate(s string) (t time.Time, ok bool) {
	if len(s) < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[len(s)-1] != 'Z' {
		return t, false
	}
	ok = true
	number := func(from, to int) (n int) {
		for _, c := range []byte(s[from:to]) {
			if c < '0' || c > '9' {
				ok = false
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := number(0, 4), number(5, 7), number(8, 10)
	hour, minute, second := number(11, 13), number(14, 16), number(17, 19)
	nanosecond := 0
	if len(s) != 20 {
		if len(s) > 30 || s[19] != '.' || len(s) == 21 {
			return t, false
		}
		nanosecond = number(20, len(s)-1)
		for range 30 - len(s) {
			nanosecond *= 10
		}
	}
	if month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59 {
		return t, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, nanosecond, time.UTC)
	// time.Date turns February 30 into March: such a date is not for the quick way.
	return t, ok && t.Day() == day
}
