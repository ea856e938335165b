package listxml_test

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/glowplug/glowplug/gomod/internal/listxml"
)

const documented = `<?xml version="1.0" encoding="UTF-8"?>
<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
   <Buckets>
      <Bucket>
         <BucketRegion>eu-west-1</BucketRegion>
         <CreationDate>2019-12-11T23:32:47+00:00</CreationDate>
         <Name>amzn-s3-demo-bucket</Name>
      </Bucket>
      <Bucket>
         <CreationDate>2019-11-10T23:32:13.123Z</CreationDate>
         <Name>amzn-s3-demo-bucket1</Name>
      </Bucket>
   </Buckets>
   <Owner>
      <DisplayName>Account+Name</DisplayName>
      <ID>AIDACKCEVSQ6C2EXAMPLE</ID>
   </Owner>
   <ContinuationToken>a&amp;b</ContinuationToken>
   <Prefix>amzn</Prefix>
</ListAllMyBucketsResult>`

func TestDecodeReadsTheDocumentedAnswer(t *testing.T) {
	out, err := listxml.Decode([]byte(documented))
	require.NoError(t, err)
	require.Len(t, out.Buckets, 2)
	require.Equal(t, "amzn-s3-demo-bucket", *out.Buckets[0].Name)
	require.Equal(t, "eu-west-1", *out.Buckets[0].BucketRegion)
	require.Equal(t, time.Date(2019, 12, 11, 23, 32, 47, 0, time.UTC), out.Buckets[0].CreationDate.UTC())
	require.Nil(t, out.Buckets[1].BucketRegion)
	require.Equal(t, time.Date(2019, 11, 10, 23, 32, 13, 123e6, time.UTC), *out.Buckets[1].CreationDate)
	require.Equal(t, "a&b", *out.ContinuationToken)
	require.Equal(t, "amzn", *out.Prefix)
	require.Equal(t, "Account+Name", *out.Owner.DisplayName)
	require.Equal(t, "AIDACKCEVSQ6C2EXAMPLE", *out.Owner.ID)
}

func listing(inner string) string {
	return "<ListAllMyBucketsResult>" + inner + "</ListAllMyBucketsResult>"
}

func TestDecodeAcceptsWhatXMLAllows(t *testing.T) {
	for sentence, body := range map[string]string{
		"no declaration":              listing("<Buckets><Bucket><Name>b</Name></Bucket></Buckets>"),
		"namespace prefixes":          `<s:ListAllMyBucketsResult xmlns:s="x"><s:Buckets><s:Bucket><s:Name>b</s:Name></s:Bucket></s:Buckets></s:ListAllMyBucketsResult>`,
		"comments and CDATA":          listing("<!-- hi --><Buckets><Bucket><Name><![CDATA[b]]></Name></Bucket></Buckets>"),
		"character references":        listing("<Buckets><Bucket><Name>&#98;</Name></Bucket></Buckets>"),
		"hexadecimal references":      listing("<Buckets><Bucket><Name>&#x62;</Name></Bucket></Buckets>"),
		"unknown elements":            listing(`<X y="1"><Name>no</Name><Z/></X><Buckets><Q/><Bucket><New a='>'>1</New><Name>b</Name></Bucket></Buckets>`),
		"white space around":          "\ufeff<?xml version='1.0'?>\r\n" + listing("\n<Buckets >\t<Bucket\n><Name>b</Name></Bucket></Buckets>") + "\n<!-- end -->\n",
		"an element inside the name":  listing("<Buckets><Bucket><Name>b<i>x</i></Name></Bucket></Buckets>"),
		"text in more than one piece": listing("<Buckets><Bucket><Name><!-- a -->b<!-- c --></Name></Bucket></Buckets>"),
	} {
		t.Run(sentence, func(t *testing.T) {
			out, err := listxml.Decode([]byte(body))
			require.NoError(t, err)
			require.Len(t, out.Buckets, 1)
			require.Equal(t, "b", *out.Buckets[0].Name)
		})
	}
}

func TestDecodeAcceptsAnEmptyAccount(t *testing.T) {
	for _, body := range []string{listing("<Buckets/>"), listing("<Buckets></Buckets>"), listing(""), "<ListAllMyBucketsResult/>"} {
		out, err := listxml.Decode([]byte(body))
		require.NoError(t, err)
		require.Empty(t, out.Buckets)
		require.Nil(t, out.ContinuationToken)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for sentence, body := range map[string]string{
		"an empty body":                "",
		"white space":                  " \n",
		"no XML":                       "hello",
		"an HTML page":                 "<html><body>Sign in</body></html>",
		"JSON":                         `{"buckets": []}`,
		"a cut document":               documented[:len(documented)/2],
		"a document without its end":   strings.TrimSuffix(documented, "</ListAllMyBucketsResult>"),
		"a second document":            listing("") + listing(""),
		"a document type declaration":  `<!DOCTYPE x [<!ENTITY a "b">]>` + listing("<Buckets><Bucket><Name>&a;</Name></Bucket></Buckets>"),
		"an unknown entity":            listing("<Buckets><Bucket><Name>&nbsp;</Name></Bucket></Buckets>"),
		"a reference to NUL":           listing("<Buckets><Bucket><Name>&#0;</Name></Bucket></Buckets>"),
		"a reference to a separator":   listing("<Buckets><Bucket><Name>&#x1f;</Name></Bucket></Buckets>"),
		"a reference to a surrogate":   listing("<Buckets><Bucket><Name>&#xd800;</Name></Bucket></Buckets>"),
		"a control character":          listing("<Buckets><Bucket><Name>a\x1fb</Name></Bucket></Buckets>"),
		"invalid UTF-8":                listing("<Buckets><Bucket><Name>a\xffb</Name></Bucket></Buckets>"),
		"crossed tags":                 listing("<Buckets><Bucket></Buckets></Bucket>"),
		"deep nesting":                 strings.Repeat("<a>", 100_000),
		"deep nesting in the listing":  listing(strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40)),
		"a bucket without a name":      listing("<Buckets><Bucket><CreationDate>2019-11-10T23:32:13Z</CreationDate></Bucket></Buckets>"),
		"a date that is none":          listing("<Buckets><Bucket><Name>b</Name><CreationDate>yesterday</CreationDate></Bucket></Buckets>"),
		"a date after Python's last":   listing("<Buckets><Bucket><Name>b</Name><CreationDate>9999-12-31T23:59:59-01:00</CreationDate></Bucket></Buckets>"),
		"an encoding that we can't":    `<?xml version="1.0" encoding="UTF-16"?>` + listing(""),
		"an attribute without quotes":  listing("<Buckets a=1/>"),
		"an attribute that never ends": listing(`<Buckets a="1/>`),
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := listxml.Decode([]byte(body))
			require.ErrorIs(t, err, listxml.ErrSyntax)
		})
	}
}

func TestDecodeReturnsTheServicesError(t *testing.T) {
	_, err := listxml.Decode([]byte(`<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We &amp; you</Message><RequestId>R1</RequestId><HostId>h</HostId></Error>`))
	var e *listxml.ServiceError
	require.ErrorAs(t, err, &e)
	require.Equal(t, listxml.ServiceError{Code: "InternalError", Message: "We & you", RequestID: "R1"}, *e)
}

func TestDecodeLocation(t *testing.T) {
	for body, want := range map[string]string{
		`<?xml version="1.0"?><LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>`: "eu-west-1",
		`<LocationConstraint xmlns="x"/>`:           "",
		`<LocationConstraint></LocationConstraint>`: "",
	} {
		got, err := listxml.DecodeLocation([]byte(body))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, body := range []string{"", "<foo><bar>eu-west-1</bar></foo>", "<ListBucketResult/>", "<LocationConstraint>", "null"} {
		_, err := listxml.DecodeLocation([]byte(body))
		require.ErrorIs(t, err, listxml.ErrSyntax, body)
	}
}

type oracle struct {
	XMLName xml.Name
	Buckets []struct {
		Bucket []struct {
			Name         []string
			CreationDate []string
			BucketRegion []string
		}
	}
	ContinuationToken []string
}

// What we accept, encoding/xml accepts as well, and reads alike.
func FuzzDecodeAgainstEncodingXML(f *testing.F) {
	f.Add([]byte(documented))
	f.Add([]byte(listing("<Buckets><Bucket><Name>b&#x41;<!-- x --><![CDATA[<&]]></Name><CreationDate>2020-02-30T00:00:00Z</CreationDate></Bucket></Buckets>")))
	f.Add([]byte(`<?xml version="1.0"?><Error><Code>c</Code></Error>`))
	f.Add([]byte("<a:ListAllMyBucketsResult b:c='d'\r/>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		theirs := string(body)
		out, err := listxml.Decode(body)
		if err != nil {
			return
		}
		var want oracle
		if err := xml.Unmarshal([]byte(theirs), &want); err != nil {
			t.Fatalf("accepted what encoding/xml refuses: %v\n%q", err, theirs)
		}
		var names []string
		for _, bs := range want.Buckets {
			for _, b := range bs.Bucket {
				names = append(names, b.Name[len(b.Name)-1])
			}
		}
		require.Len(t, out.Buckets, len(names))
		for i, b := range out.Buckets {
			require.Equal(t, names[i], aws.ToString(b.Name))
		}
		if n := len(want.ContinuationToken); n > 0 {
			require.Equal(t, want.ContinuationToken[n-1], aws.ToString(out.ContinuationToken))
		}
	})
}

func page(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<Bucket><Name>bucket-%05d</Name><CreationDate>2024-03-01T12:00:00.000Z</CreationDate><BucketRegion>eu-central-1</BucketRegion></Bucket>", i)
	}
	return []byte(listing("<Owner><ID>x</ID></Owner><Buckets>" + b.String() + "</Buckets>"))
}

func TestDecodeAllocatesByThePageNotByTheBucket(t *testing.T) {
	body := page(1000)
	allocations := testing.AllocsPerRun(10, func() {
		if _, err := listxml.Decode(body); err != nil {
			t.Fatal(err)
		}
	})
	require.Less(t, allocations, 60.0)
}

func BenchmarkDecode(b *testing.B) {
	body := page(1000)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := listxml.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}
