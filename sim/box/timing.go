package box

import "time"

// BlockResult is what one block of TCP connections took, opened one after another between two reads of the clock: where a read is
// dear, as in User Mode Linux, one for each connection would be most of what is measured.
type BlockResult struct {
	PerConnect time.Duration
	Failed     int // connections that did not come about: the time says nothing then
}
