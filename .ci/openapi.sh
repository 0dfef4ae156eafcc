#!/usr/bin/env bash
# Turns the OpenAPI 2.0 document that buf has generated into a folder into what is
# served, OpenAPI 3.0, in the place of the former.
#   openapi.sh FOLDER
set -euo pipefail
folder=$(realpath "$1")
GOWORK=off go -C .tools run ./openapi3 <"$folder/tandem.swagger.json" >"$folder/tandem.openapi.json"
rm "$folder/tandem.swagger.json"
