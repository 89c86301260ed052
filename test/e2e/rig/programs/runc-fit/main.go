// runc-fit starts runc after making a container's settings fit a root that lacks some privileges, as in a
// machine that is itself confined: an oomScoreAdj lower than this process's own is raised to it, and
// capabilities that this process could not pass on are left out. On a full root it changes nothing.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// In the order of their numbers, from linux/capability.h.
var capabilities = strings.Fields(`
	CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
	NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
	SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
	MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

func bounding() (map[string]bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(status), "CapBnd:")
	line, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	held := map[string]bool{}
	for number, name := range capabilities {
		held["CAP_"+name] = mask&(1<<number) != 0
	}
	return held, err
}

func ownScore() (int64, error) {
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

func fitProcess(process map[string]any) error {
	lowest, err := ownScore()
	if err != nil {
		return err
	}
	if number, ok := process["oomScoreAdj"].(json.Number); ok {
		if wanted, err := number.Int64(); err == nil && wanted < lowest {
			process["oomScoreAdj"] = lowest
		}
	}
	held, err := bounding()
	if err != nil {
		return err
	}
	sets, _ := process["capabilities"].(map[string]any)
	for name, set := range sets {
		kept := []any{}
		members, _ := set.([]any)
		for _, member := range members {
			if text, ok := member.(string); ok && held[text] {
				kept = append(kept, text)
			}
		}
		sets[name] = kept
	}
	return nil
}

// fit rewrites a container's config.json, or the process.json of an exec.
func fit(file string, whole bool) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	document := map[string]any{}
	if err := decoder.Decode(&document); err != nil {
		return err
	}
	process := document
	if whole {
		process, _ = document["process"].(map[string]any)
	}
	if process == nil {
		return nil
	}
	if err := fitProcess(process); err != nil {
		return err
	}
	changed, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return os.WriteFile(file, changed, 0o600)
}

// option gives the value of a flag in any of the ways in which one is written.
func option(arguments []string, names ...string) string {
	for i, argument := range arguments {
		for _, name := range names {
			if argument == name && i+1 < len(arguments) {
				return arguments[i+1]
			}
			if value, found := strings.CutPrefix(argument, name+"="); found {
				return value
			}
		}
	}
	return ""
}

func prepare(arguments []string) error {
	for _, argument := range arguments {
		switch argument {
		case "create", "run":
			return fit(filepath.Join(option(arguments, "--bundle", "-b"), "config.json"), true)
		case "exec":
			if file := option(arguments, "--process", "-p"); file != "" {
				return fit(file, false)
			}
			return nil
		case "delete", "kill", "state", "start", "ps", "update", "pause", "resume", "events", "features":
			return nil
		}
	}
	return nil
}

// The real one is the next of that name on the usual path.
func runc() string {
	for _, folder := range []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"} {
		if path, err := exec.LookPath(filepath.Join(folder, "runc")); err == nil {
			return path
		}
	}
	return "/usr/sbin/runc"
}

func main() {
	if err := prepare(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "runc-fit:", err)
		os.Exit(1)
	}
	err := syscall.Exec(runc(), append([]string{"runc"}, os.Args[1:]...), os.Environ())
	fmt.Fprintln(os.Stderr, "runc-fit:", err)
	os.Exit(127)
}
