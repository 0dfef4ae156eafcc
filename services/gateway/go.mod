module github.com/tandem-sync/tandem/services/gateway

go 1.26
