module github.com/tandem-sync/tandem/services/synccore

go 1.26
