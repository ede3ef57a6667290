// Package measure holds observations as plain values: which backend each draw
// went to, under which exact shares, what each connection met, and metrics with
// their units.
//
// It judges nothing (sim/check does) and draws nothing. Counts are integers and
// merging two observations adds integers, so that the order of merging never
// shows in a result. Shares are exact fractions (*big.Rat); a value handed to
// this package is not to be changed afterwards.
//
// What it leaves out: time series. A stretch of time with one rule set is an
// Epoch; what happens between two epochs is the caller's event, not ours.
package measure
