module esdk/examples

go 1.26.0

require esdk v0.0.0-00010101000000-000000000000
