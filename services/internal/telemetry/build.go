package telemetry

import (
	"runtime/debug"
	"strings"
)

// release and commit are what the linker writes into images and releases (-X), since
// a checkout's history is not in an image's build context.
var release, commit string //nolint:gochecknoglobals // only the linker writes them

// shownCommit is how many digits of a commit are shown.
const shownCommit = 12

// Version tells which program this is: the release with the commit, as in
// v1.2.0+3f2b8c1d9e4a, or what the Go toolchain recorded of the build.
func Version() string {
	version, revision := release, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if version == "" {
			version = info.Main.Version
		}
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" && revision == "" {
				revision = setting.Value
			}
		}
	}
	if version == "" {
		version = "unknown"
	}
	short := revision[:min(len(revision), shownCommit)]
	// Without a release the version is the commit, perhaps with -dirty behind.
	if short == "" || strings.Contains(version, short) || strings.HasPrefix(revision, strings.TrimSuffix(version, "-dirty")) {
		return version
	}
	return version + "+" + short
}
