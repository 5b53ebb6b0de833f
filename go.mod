module esdk

go 1.26.0
