package config

import "github.com/tandem-sync/tandem/services/synccore/internal/schema"

// KeyPaths are the ways to all keys of the tables, such as connectors[].alvao.url.
func KeyPaths() []string {
	var paths []string
	walkKeys(func(path string, _ schema.Key) { paths = append(paths, path) })
	return paths
}

// KeyDefaults are the defaults that the tables tell, by the way to the key.
func KeyDefaults() map[string]string {
	defaults := map[string]string{}
	walkKeys(func(path string, key schema.Key) {
		if key.Default != "" {
			defaults[path] = key.Default
		}
	})
	return defaults
}

func walkKeys(each func(path string, key schema.Key)) {
	var walk func(path string, object schema.Object)
	walk = func(path string, object schema.Object) {
		for _, key := range object.Keys {
			each(path+key.Name, key)
			if below, within := key.Value.Below(); below != nil {
				walk(path+key.Name+within+".", *below)
			}
		}
	}
	walk("", fileKeys())
}
