package listxml

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const deserializer = "OperationDeserializer"

// ErrTooLarge is wrapped by the error of a body over the bound.
var ErrTooLarge = errors.New("the answer is larger than the bound")

// maxErrorBytes bounds the body of an answer that is no success: S3's errors have a few hundred bytes.
const maxErrorBytes = 1 << 20

// Use returns an option for s3.Options.APIOptions. It puts Decode and DecodeLocation
// in the place of the SDK's decoders for ListBuckets and GetBucketLocation, and bounds the body of every answer to
// maxBytes (1 MiB for errors) so that no server fills the memory.
func Use(maxBytes int64) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		if err := stack.Deserialize.Add(limit(maxBytes), middleware.After); err != nil {
			return err
		}
		decoder, ours := results[stack.ID()]
		if !ours {
			return nil
		}
		theirs, ok := stack.Deserialize.Get(deserializer)
		if !ok {
			return fmt.Errorf("the SDK's stack has no %s", deserializer)
		}
		// An <Error> in a 200 is for Decode to see; theirs would parse the body's head twice.
		if _, err := stack.Deserialize.Remove("S3:ProcessResponseFor200Error"); err != nil {
			return err
		}
		_, err := stack.Deserialize.Swap(deserializer, decode{theirs, decoder})
		return err
	}
}

// results holds what reads the body of a success, by operation.
var results = map[string]func(body []byte) (any, error){
	"ListBuckets": func(body []byte) (any, error) { return Decode(body) },
	"GetBucketLocation": func(body []byte) (any, error) {
		constraint, err := DecodeLocation(body)
		return &s3.GetBucketLocationOutput{LocationConstraint: types.BucketLocationConstraint(constraint)}, err
	},
}

type decode struct {
	theirs middleware.DeserializeMiddleware
	read   func(body []byte) (any, error)
}

func (decode) ID() string { return deserializer }

func (m decode) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	out middleware.DeserializeOutput, metadata middleware.Metadata, err error,
) {
	out, metadata, err = next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || response.StatusCode < 200 || response.StatusCode >= 300 {
		answered := middleware.DeserializeHandlerFunc(func(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
			return out, metadata, err
		})
		return m.theirs.HandleDeserialize(ctx, in, answered)
	}
	defer response.Body.Close()
	body, err := read(response)
	if err != nil {
		return out, metadata, &smithy.DeserializationError{Err: err}
	}
	result, err := m.read(body)
	var refused *ServiceError
	if errors.As(err, &refused) {
		// S3 sends its late failures in a 200; they count as a 500.
		// https://repost.aws/knowledge-center/s3-resolve-200-internalerror
		response.StatusCode = 500
		return out, metadata, &smithy.GenericAPIError{Code: refused.Code, Message: refused.Message, Fault: smithy.FaultServer}
	}
	if err != nil {
		return out, metadata, &smithy.DeserializationError{Err: err}
	}
	out.Result = result
	return out, metadata, nil
}

// read takes the whole body in one allocation where its length is told.
func read(response *smithyhttp.Response) ([]byte, error) {
	const most = 4 << 20 // a told length is believed up to here; beyond it the buffer grows as bytes arrive
	size := response.ContentLength
	if size < 0 {
		size = 32 << 10
	}
	body := make([]byte, 0, min(size, most)+1)
	for {
		n, err := response.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

type limit int64

func (limit) ID() string { return "glowplug.BodyLimit" }

func (m limit) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	out middleware.DeserializeOutput, metadata middleware.Metadata, err error,
) {
	out, metadata, err = next.HandleDeserialize(ctx, in)
	if response, ok := out.RawResponse.(*smithyhttp.Response); ok && response.Body != nil {
		most := int64(m)
		if response.StatusCode < 200 || response.StatusCode >= 300 {
			most = min(most, maxErrorBytes)
		}
		response.Body = &limited{ReadCloser: response.Body, left: most, most: most}
	}
	return out, metadata, err
}

type limited struct {
	io.ReadCloser
	left, most int64
}

func (l *limited) Read(p []byte) (int, error) {
	// One byte over the bound tells a body of just that size from a larger one.
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.ReadCloser.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("%w of %d bytes", ErrTooLarge, l.most)
	}
	return n, err
}
