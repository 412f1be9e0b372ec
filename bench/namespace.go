package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// inNamespace calls f in a new network namespace, where the processes that f starts are too. The namespace and what is in
// it live until the last of them ends, so that nothing has to be removed, and nothing outside is ever touched.
func inNamespace(f func() error) error {
	result := make(chan error)
	go func() {
		// Never unlocked: the thread that has changed its namespace ends with the goroutine.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("making a network namespace (are you root?): %w", err)
			return
		}
		result <- f()
	}()
	return <-result
}

// crowd makes pairs of devices in the calling thread's namespace until it has as many as devices says.
func crowd() error {
	// Without IPv6 addresses there is no router solicitation, which would go on in the background for a while.
	for _, which := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	var batch strings.Builder
	for i := range (devices - 1) / 2 {
		fmt.Fprintf(&batch, "link add a%d type veth peer name b%d\n", i, i)
	}
	ip := exec.Command("ip", "-batch", "-")
	ip.Stdin = strings.NewReader(batch.String())
	if out, err := ip.CombinedOutput(); err != nil {
		return fmt.Errorf("making devices: %w: %s", err, out)
	}
	return nil
}
