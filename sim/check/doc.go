// Package check compares observations with what the model says they must be,
// and answers PASS, FAIL, INCONCLUSIVE or NOT-COMPARED with a reason and a known
// risk. It does no I/O and has no randomness of its own.
//
// The null hypothesis is exact: each draw has the exact shares of its epoch.
//
//	observation ─┬─ zero-probability cell seen ──────────────── FAIL (no chance in it)
//	             ├─ e-process ≥ m/α ─────────────────────────── FAIL (Process, LogE)
//	             ├─ every confidence sequence in the margin ─── PASS (Interval)
//	             └─ otherwise ────────────────────────────────── INCONCLUSIVE
//
// Refutation and equivalence are two questions. The e-process (a
// Dirichlet-multinomial mixture over the exact shares) starts at 1, is a
// martingale under the null, and by Ville's inequality passes m/α with
// probability at most α/m at any look whatever: nobody needs to fix the number of
// connections before the run. The confidence sequences (prior-posterior ratio,
// Waudby-Smith and Ramdas, "Confidence sequences for sampling without
// replacement", NeurIPS 2020) hold at all looks at once too. Chi-square and G
// stand beside them for the familiar eye and decide nothing.
//
// The bargain: what can be decided on fractions is (the exact half of a shares
// check, thresholds, list comparison); e-values are floats, decided at a
// threshold of a million or more, where the last bits of math.Log do not matter.
package check
