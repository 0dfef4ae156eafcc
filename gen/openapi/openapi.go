// Package openapi holds the OpenAPI document of the REST form of tandem.v1, as
// generated from the protos and rest.yaml.
package openapi

import _ "embed"

// Document is the OpenAPI 3.0 document as JSON. It must not be changed.
//
//go:embed tandem.openapi.json
var Document []byte
