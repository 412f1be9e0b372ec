package poolfile

import (
	"bytes"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// Format is how pools are written down.
type Format uint8

// The formats.
const (
	Auto    Format = iota // for reading: as DetectFormat finds
	JSON                  // the schema of this package, or gnlpy's, in JSON
	YAML                  // the same in YAML
	IPVSAdm               // the commands that "ipvsadm -S -n" prints and "ipvsadm -R" reads
)

var formatNames = [...]string{"auto", "json", "yaml", "ipvsadm"}

// String gives "auto", "json", "yaml" or "ipvsadm".
func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return fmt.Sprintf("Format(%d)", f)
}

// ParseFormat is the format that [Format.String] gives the name of. "yml" and
// upper case will do as well.
func ParseFormat(name string) (Format, error) {
	lower := strings.ToLower(name)
	if lower == "yml" {
		return YAML, nil
	}
	for f, known := range formatNames {
		if lower == known {
			return Format(f), nil
		}
	}
	return Auto, fmt.Errorf("format %q: not json, yaml, ipvsadm or auto", name)
}

// DetectFormat finds out a file's format, by its name if that ends in .json,
// .yaml, .yml, .ipvsadm or .rules, else by what it begins with. It is Auto for
// an empty file.
func DetectFormat(name string, content []byte) Format {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		return JSON
	case ".yaml", ".yml":
		return YAML
	case ".ipvsadm", ".rules": // Debian keeps /etc/ipvsadm.rules
		return IPVSAdm
	}
	for line := range bytes.Lines(bytes.TrimPrefix(content, byteOrderMark)) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0 || line[0] == '#':
		case line[0] == '{' || line[0] == '[':
			return JSON
		case isCommand(line):
			return IPVSAdm
		default:
			return YAML
		}
	}
	return Auto
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// isCommand tells ipvsadm's -A and --add-service from YAML's "- service" and
// "---".
func isCommand(line []byte) bool {
	first, _, _ := bytes.Cut(line, []byte(" "))
	if path.Base(string(first)) == programName {
		return true
	}
	option := bytes.TrimPrefix(bytes.TrimPrefix(first, []byte("-")), []byte("-"))
	return len(first) > 1 && first[0] == '-' && len(option) > 0 && option[0] != '-' && !bytes.ContainsRune(first, ':')
}
