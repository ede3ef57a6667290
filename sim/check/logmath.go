package check

import "math"

// logRising is ln Γ(a+n) − ln Γ(a), the log of a(a+1)…(a+n−1), for a > 0 and
// n ≥ 0. Two calls of math.Lgamma would lose digits where a is large and n
// small; here short products are multiplied out and long ones take the
// difference of two Stirling series with the large terms cancelled by hand.
func logRising(a float64, n int64) float64 {
	const direct = 64
	if n <= direct {
		return logProduct(a, n)
	}
	var head float64
	if a < 16 { // the series below needs a large argument
		steps := int64(16 - math.Floor(a))
		head = logProduct(a, steps)
		a += float64(steps)
		n -= steps
	}
	m := float64(n)
	b := a + m
	return head + m*math.Log(b) + (a-0.5)*math.Log1p(m/a) - m + stirling(b) - stirling(a)
}

// logProduct multiplies a(a+1)…(a+n−1) out, taking a log only near overflow.
func logProduct(a float64, n int64) float64 {
	product, sum := 1.0, 0.0
	for i := int64(0); i < n; i++ {
		product *= a + float64(i)
		if product > 1e200 || product < 1e-200 {
			sum += math.Log(product)
			product = 1
		}
	}
	return sum + math.Log(product)
}

// stirling is the tail of the series of ln Γ (Abramowitz and Stegun 6.1.41):
// 1/12x − 1/360x³ + …; below 1e-16 from x = 16 on with these terms.
func stirling(x float64) float64 {
	r := 1 / (x * x)
	return (1.0/12 - r*(1.0/360-r*(1.0/1260-r*(1.0/1680-r*(1.0/1188-r*691.0/360360))))) / x
}

// logMean is ln of the mean of exp(x).
func logMean(xs []float64) float64 {
	top := math.Inf(-1)
	for _, x := range xs {
		top = max(top, x)
	}
	if math.IsInf(top, 0) {
		return top
	}
	var sum float64
	for _, x := range xs {
		sum += math.Exp(x - top)
	}
	return top + math.Log(sum/float64(len(xs)))
}
