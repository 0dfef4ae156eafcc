// Package application makes the package that Alvao imports out of the application's
// sources in deploy/alvao.
//
// Its one invariant: the same sources give the same bytes, so that the committed package
// can be compared with them.
package application

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// File is the name of the package in deploy/alvao.
const File = "TandemApplication.xml"

// The ids of the application and of its first script. Alvao gives its own on import; what
// published packages have is kept to (alvao.md §3.2).
const (
	firstApplication = 100
	firstScript      = 200
)

// manifest is application.json.
type manifest struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	UniqueID    string `json:"uniqueId"`
	Version     int    `json:"version"`
	Scripts     []struct {
		// Name is that of the script and, with .cs, of its file in source.
		Name string `json:"name"`
		// Library tells that it holds no action of its own.
		Library bool `json:"library"`
	} `json:"scripts"`
}

// Build makes the package from the sources in dir.
func Build(dir string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, "application.json"))
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	var m manifest
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	if err := m.complete(dir); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString(`<?xml version="1.0" encoding="utf-8"?>` + "\n")
	out.WriteString(`<AlvaoApplication xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema" ModelVersion="1">` + "\n")
	fmt.Fprintf(&out, "  <Applications>\n    <Application id=\"%d\">\n", firstApplication)
	fmt.Fprintf(&out, "      <Name>%s</Name>\n      <Description>%s</Description>\n", escaped(m.Name), escaped(m.Description))
	fmt.Fprintf(&out, "      <UniqueId>%s</UniqueId>\n      <Version>%d</Version>\n      <Scripts>\n", escaped(m.UniqueID), m.Version)
	for n, script := range m.Scripts {
		code, err := source(dir, script.Name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "        <Script id=\"%d\">\n          <Name>%s</Name>\n          <Code><![CDATA[\n%s]]></Code>\n          <IsLibCode>%t</IsLibCode>\n        </Script>\n",
			firstScript+n, escaped(script.Name), code, script.Library)
	}
	out.WriteString("      </Scripts>\n    </Application>\n  </Applications>\n</AlvaoApplication>\n")
	return out.Bytes(), nil
}

var errManifest = errors.New("application.json needs a name, a description, a uniqueId and a version above 0")

// complete tells what is missing, and which files of source no script is made of.
func (m manifest) complete(dir string) error {
	if m.Name == "" || m.Description == "" || m.UniqueID == "" || m.Version <= 0 {
		return errManifest
	}
	files, err := filepath.Glob(filepath.Join(dir, "source", "*.cs"))
	if err != nil {
		return fmt.Errorf("listing the sources: %w", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".cs")
		if !slices.ContainsFunc(m.Scripts, func(s struct {
			Name    string `json:"name"`
			Library bool   `json:"library"`
		},
		) bool {
			return s.Name == name
		}) {
			return fmt.Errorf("source/%s.cs is no script of application.json: %w", name, os.ErrInvalid)
		}
	}
	return nil
}

func source(dir, name string) (string, error) {
	code, err := os.ReadFile(filepath.Join(dir, "source", name+".cs"))
	if err != nil {
		return "", fmt.Errorf("reading script %s: %w", name, err)
	}
	switch {
	case !utf8.Valid(code) || bytes.HasPrefix(code, []byte("\xef\xbb\xbf")):
		return "", fmt.Errorf("script %s is not UTF-8 without a byte order mark: %w", name, os.ErrInvalid)
	case bytes.Contains(code, []byte("]]>")) || bytes.ContainsRune(code, '\r'):
		return "", fmt.Errorf("script %s has a carriage return or the end of a CDATA section: %w", name, os.ErrInvalid)
	}
	return string(code), nil
}

func escaped(text string) string {
	var out strings.Builder
	if err := xml.EscapeText(&out, []byte(text)); err != nil {
		return "" // a Builder takes everything
	}
	return out.String()
}
