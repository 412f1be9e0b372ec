package gnl

import (
	"errors"
	"testing"
	"unsafe"
)

// A batch does not grow beyond what its members can point to, and says so.
func TestABatchIsFull(t *testing.T) {
	type request struct {
		N uint32 `nl:"1"`
	}
	set := Command[request, struct{}]{Family: "toy", Name: "set"}
	var b Batch
	if set.AddTo(&b, &request{}, nil); b.Err(0) != nil {
		t.Fatal(b.Err(0))
	}
	kept := b.requests
	// What is there is not looked into: it need not be there.
	header := (*struct {
		data     unsafe.Pointer
		len, cap int
	})(unsafe.Pointer(&b.requests))
	header.len, header.cap = maxRequests, maxRequests
	for range 2 {
		if i := set.AddTo(&b, &request{}, nil); !errors.Is(b.Err(i), errFull) {
			t.Error(b.Err(i))
		}
	}
	b.requests = kept
	if i := set.AddTo(&b, &request{}, nil); b.Err(i) != nil {
		t.Error(b.Err(i))
	}
}
