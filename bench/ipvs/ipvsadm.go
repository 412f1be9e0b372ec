package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// newIpvsadm starts the program, once for everything, as scripts do.
func newIpvsadm(s scene) (*implementation, error) {
	var rules bytes.Buffer
	for i := range s.Services {
		service := fmt.Sprintf("-t %s:%d", s.service(i), servicePort)
		fmt.Fprintf(&rules, "-A %s -s %s\n", service, scheduler)
		for j := range s.Each {
			fmt.Fprintf(&rules, "-a %s -r %s:%d -m -w %d\n", service, s.destination(i, j), destinationPort, s.weight(j))
		}
	}
	return &implementation{
		add: func() error {
			c := exec.Command("ipvsadm", "-R")
			c.Stdin = &rules
			return said(c.CombinedOutput())
		},
		list: func() (services, destinations int, err error) {
			// Into a file, so that nobody has to read along.
			f, err := os.CreateTemp("", "ipvsadm")
			if err != nil {
				return 0, 0, err
			}
			defer os.Remove(f.Name())
			defer f.Close()
			c := exec.Command("ipvsadm", "-Ln")
			c.Stdout, c.Stderr = f, f
			if err := c.Run(); err != nil {
				return 0, 0, err
			}
			listed, err := os.ReadFile(f.Name())
			if err != nil {
				return 0, 0, err
			}
			return strings.Count(string(listed), "\nTCP "), strings.Count(string(listed), "\n  -> 11."), nil
		},
	}, nil
}

// said is the error of a program that should have nothing to say.
func said(output []byte, err error) error {
	if err == nil && len(output) == 0 {
		return nil
	}
	text, _, _ := strings.Cut(string(output), "\n")
	return fmt.Errorf("ipvsadm: %v: %s", err, text)
}

// ipvsadmVersion is what the program says of itself.
func ipvsadmVersion() string {
	output, err := exec.Command("ipvsadm", "--version").CombinedOutput()
	words := strings.Fields(string(output))
	if err != nil || len(words) < 2 {
		return "ipvsadm"
	}
	return strings.Join(words[:2], " ")
}
