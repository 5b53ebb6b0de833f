package main

import "fmt"

func sizeText(n int) string {
	switch {
	case n >= gib && n%gib == 0:
		return fmt.Sprintf("%d GiB", n/gib)
	case n >= mib && n%mib == 0:
		return fmt.Sprintf("%d MiB", n/mib)
	}
	return fmt.Sprintf("%d KiB", n/kib)
}

func suiteText(suite string) string { return suiteWord(suite) + " (" + suite + ")" }

// suiteWord describes the suite's use of signatures.
func suiteWord(suite string) string {
	return map[string]string{"0478": "unsigned", "0578": "signed"}[suite]
}

func timeText(seconds float64) string {
	switch {
	case seconds < 1e-3:
		return digits(seconds*1e6) + " µs"
	case seconds < 1:
		return digits(seconds*1e3) + " ms"
	}
	return digits(seconds) + " s"
}

func rateText(size int, seconds float64) string { return digits(float64(size)/mib/seconds) + " MiB/s" }

func countText(n float64) string { return digits(n) }

func memoryText(bytes int64) string { return digits(float64(bytes)/mib) + " MiB" }

// digits formats x with three digits, or more if it is large.
func digits(x float64) string {
	switch {
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	case x < 100:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}
