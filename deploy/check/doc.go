// Package check tests what deploy holds: the Helm chart as the Kubernetes API would read
// it, the rules of Prometheus, that what the guides name exists, and, with the build tag containers, the images and the
// compose stack on a local engine.
//
// Its one invariant: it knows Tandem only from outside, by files, programs and HTTP. It
// is a module of its own, so that no service depends on Kubernetes' packages; `make
// helm-test` and `containers-test` run it.
package check
