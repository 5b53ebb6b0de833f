package main

import "math"

// toInt returns a number as an int: the closest one, if a 32-bit machine has
// none. Cutting bits off would turn a limit of 2^32 into 0, which means none.
func toInt(n int64) int { return int(max(math.MinInt, min(n, math.MaxInt))) }
