module github.com/tandem-sync/tandem/services/sandbox

go 1.26
