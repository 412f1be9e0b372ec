//go:build linux && amd64

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

// unpackImage takes the kernel out of a bzImage. It boots half a second faster
// than the bzImage, which would unpack itself in an emulated machine. Where it
// is: the kernel's Documentation/arch/x86/boot.rst.
func unpackImage(image []byte) ([]byte, error) {
	payload, err := imagePayload(image)
	if err != nil {
		return nil, err
	}
	vmlinux, err := decompress(payload)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(vmlinux, []byte("\x7fELF")) {
		return nil, errors.New("what the bzImage has packed is no ELF file")
	}
	return vmlinux, nil
}

func imagePayload(image []byte) ([]byte, error) {
	const (
		setupSectors  = 0x1f1
		magic         = 0x202
		payloadOffset = 0x248
		payloadLength = 0x24c
		headerEnd     = 0x250
	)
	if len(image) < headerEnd || string(image[magic:magic+4]) != "HdrS" {
		return nil, errors.New("not a bzImage")
	}
	setup := int(image[setupSectors])
	if setup == 0 {
		setup = 4
	}
	start := (setup+1)*512 + int(binary.LittleEndian.Uint32(image[payloadOffset:]))
	end := start + int(binary.LittleEndian.Uint32(image[payloadLength:])) - 4 // behind it is its unpacked size
	if start > end || end > len(image) {
		return nil, errors.New("the bzImage is cut off")
	}
	return image[start:end], nil
}

// decompressors are the programs for what kernels and modules are packed with.
// The program xz, because it alone knows the filters of the kernel's; and then
// the others are no reason for a library.
var decompressors = []struct{ magic, program, debianPackage string }{
	{"\xfd7zXZ", "xz", "xz-utils"},
	{"\x28\xb5\x2f\xfd", "zstd", "zstd"},
	{"\x02\x21\x4c\x18", "lz4", "lz4"},
	{"\x1f\x8b", "gzip", "gzip"},
}

func decompress(data []byte) ([]byte, error) {
	for _, d := range decompressors {
		if !bytes.HasPrefix(data, []byte(d.magic)) {
			continue
		}
		var stderr bytes.Buffer
		c := exec.Command(d.program, "-dc")
		c.Stdin, c.Stderr = bytes.NewReader(data), &stderr
		out, err := c.Output()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return nil, missingProgram(d.program, d.debianPackage)
		case err != nil:
			return nil, fmt.Errorf("%s -dc: %w: %s", d.program, err, bytes.TrimSpace(stderr.Bytes()))
		}
		return out, nil
	}
	return nil, fmt.Errorf("packed by an unknown program: it begins with % x", data[:min(len(data), 6)])
}

func missingProgram(name, debianPackage string) error {
	return fmt.Errorf("needs the program %s: apt-get install %s", filepath.Base(name), debianPackage)
}
