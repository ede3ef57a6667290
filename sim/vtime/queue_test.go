package vtime

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Whatever the order of adding, events come by time, then flow, then sequence.
func TestOrder(t *testing.T) {
	var want []Key
	for at := range 5 {
		for flow := int64(-1); flow < 3; flow++ {
			for seq := range 2 {
				want = append(want, Key{At: time.Duration(at) * time.Second, Flow: flow, Sequence: seq})
			}
		}
	}
	for seed := range uint64(20) {
		shuffled := slices.Clone(want)
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		var q Queue[Key]
		for _, k := range shuffled {
			q.Add(k, k)
		}
		var got []Key
		for {
			_, k, ok := q.Next()
			if !ok {
				break
			}
			got = append(got, k)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: order %v", seed, got)
		}
	}
}

// An event cannot be placed in the past.
func TestNoPast(t *testing.T) {
	var q Queue[string]
	q.Add(Key{At: time.Minute}, "a")
	q.Next()
	q.Add(Key{At: time.Second}, "late")
	if k, _, _ := q.Next(); k.At != time.Minute || q.Now() != time.Minute {
		t.Errorf("late event at %v, now %v", k.At, q.Now())
	}
}
