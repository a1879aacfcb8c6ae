module example.com/app/tools/h2spec

go 1.26.0
