package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// settings reads the scalars of a harbor.yml by their path; what it requires must be there, as in the real one.
func settings(file string) map[string]string {
	text, err := os.ReadFile(file)
	if err != nil {
		fatal(err)
	}
	found := map[string]string{}
	var path []string
	var indents []int
	for _, line := range strings.Split(string(text), "\n") {
		bare := strings.TrimSpace(line)
		if bare == "" || bare[0] == '#' || bare[0] == '-' {
			continue
		}
		indent := len(line) - len(strings.TrimLeft(line, " "))
		for len(indents) > 0 && indents[len(indents)-1] >= indent {
			indents, path = indents[:len(indents)-1], path[:len(path)-1]
		}
		key, value, ok := strings.Cut(bare, ":")
		if !ok {
			fatal("yaml.scanner.ScannerError:", line)
		}
		indents, path = append(indents, indent), append(path, key)
		found[strings.Join(path, ".")] = strings.Trim(strings.TrimSpace(value), `"`)
	}
	for _, key := range []string{"hostname", "data_volume", "harbor_admin_password", "database.password", "jobservice.max_job_workers",
		"jobservice.job_loggers", "jobservice.logger_sweeper_duration", "notification.webhook_job_max_retry", "log.level", "log.local.location"} {
		if _, ok := found[key]; !ok {
			fatal("Traceback (most recent call last):\nKeyError:", key)
		}
	}
	return found
}

func must(err error) {
	if err != nil {
		fatal(err)
	}
}

func folder(path string, uid int) {
	must(os.MkdirAll(path, 0o755))
	must(os.Chown(path, uid, uid))
}

func write(path string, text string) {
	must(os.MkdirAll(filepath.Dir(path), 0o755))
	must(os.WriteFile(path, []byte(text), 0o644))
	must(os.Chown(path, 10000, 10000))
}

func random() string {
	bytes := make([]byte, 8)
	rand.Read(bytes)
	return hex.EncodeToString(bytes)
}

func copyFile(from string, to string, mode os.FileMode) {
	bytes, err := os.ReadFile(from)
	must(err)
	must(os.WriteFile(to, bytes, mode))
	must(os.Chmod(to, mode))
	must(os.Chown(to, 10000, 10000))
}

// prepare writes the configuration of all containers and docker-compose.yml. New internal secrets each time.
func prepare(args []string) {
	trivy := false
	for _, arg := range args[1:] {
		switch arg {
		case "--with-trivy":
			trivy = true
		default:
			fatal("no such option:", arg)
		}
	}
	filepath.Walk("/config", func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			os.Remove(path)
		}
		return nil
	})
	yml := settings("/input/harbor.yml")
	if yml["hostname"] == "127.0.0.1" || yml["hostname"] == "reg.mydomain.com" {
		fmt.Println("Error happened in config validation...")
		os.Exit(255)
	}
	if os.Getuid() != 0 {
		fatal("not root")
	}
	data, version := yml["data_volume"], os.Getenv("VERSION")
	for name, uid := range map[string]int{"registry": 10000, "database": 999, "redis": 999, "job_logs": 10000, "ca_download": 10000, "secret": 10000, "secret/keys": 10000, "secret/cert": 10000} {
		folder("/data/"+name, uid)
	}
	if _, err := os.Stat("/data/secret/keys/secretkey"); err != nil {
		write("/data/secret/keys/secretkey", random())
	}
	_, secure := yml["https.port"]
	os.RemoveAll("/data/secret/cert")
	folder("/data/secret/cert", 10000)
	if secure {
		copyFile("/hostfs"+yml["https.certificate"], "/data/secret/cert/server.crt", 0o600)
		copyFile("/hostfs"+yml["https.private_key"], "/data/secret/cert/server.key", 0o600)
	}
	logs := yml["log.local.location"]
	folder("/hostfs"+logs, 10000)
	write("/config/db/env", "POSTGRES_PASSWORD="+yml["database.password"]+"\n")
	write("/config/core/env", "HARBOR_ADMIN_PASSWORD="+yml["harbor_admin_password"]+"\nPOSTGRESQL_PASSWORD="+yml["database.password"]+"\nCORE_SECRET="+random()+"\n")
	write("/config/jobservice/env", "JOBSERVICE_SECRET="+random()+"\n")
	write("/config/registry/config.yml", "version: 0.1\nstorage: { filesystem: { rootdirectory: /storage }, delete: { enabled: true } }\nhttp: { addr: ':5000' }\n")
	write("/config/proxy/env", "HTTPS_PORT="+yml["https.port"]+"\n")
	write("/config/log/rsyslog.conf", "")

	var compose strings.Builder
	compose.WriteString("services:\n")
	service := func(name string, container string, image string, more ...string) {
		fmt.Fprintf(&compose, "  %s:\n    image: goharbor/%s:%s\n    container_name: %s\n    restart: always\n    networks:\n      - harbor\n", name, image, version, container)
		for _, line := range more {
			fmt.Fprintf(&compose, "    %s\n", line)
		}
		if name == "log" {
			return
		}
		fmt.Fprintf(&compose, "    logging:\n      driver: \"syslog\"\n      options:\n        syslog-address: \"tcp://localhost:1514\"\n        tag: \"%s\"\n", name)
	}
	service("log", "harbor-log", "harbor-log", "ports:", "  - 127.0.0.1:1514:10514", "volumes:", "  - "+logs+"/:/var/log/docker/:z")
	service("registry", "registry", "registry-photon", "depends_on:", "  - log", "volumes:", "  - "+data+"/registry:/storage:z", "  - ./common/config/registry/:/etc/registry/:z")
	service("registryctl", "registryctl", "harbor-registryctl", "depends_on:", "  - log")
	service("postgresql", "harbor-db", "harbor-db", "depends_on:", "  - log", "volumes:", "  - "+data+"/database:/var/lib/postgresql/data:z", "env_file:", "  - ./common/config/db/env")
	service("core", "harbor-core", "harbor-core", "depends_on:", "  - log", "  - registry", "  - redis", "  - postgresql", "volumes:", "  - "+data+"/ca_download/:/etc/core/ca/:z", "env_file:", "  - ./common/config/core/env")
	service("portal", "harbor-portal", "harbor-portal", "depends_on:", "  - log")
	service("jobservice", "harbor-jobservice", "harbor-jobservice", "depends_on:", "  - core", "volumes:", "  - "+data+"/job_logs:/var/log/jobs:z", "env_file:", "  - ./common/config/jobservice/env")
	service("redis", "redis", os.Getenv("REDIS_IMAGE"), "depends_on:", "  - log", "volumes:", "  - "+data+"/redis:/var/lib/redis")
	ports := []string{"depends_on:", "  - registry", "  - core", "  - portal", "  - log", "env_file:", "  - ./common/config/proxy/env", "volumes:", "  - " + data + "/secret/cert:/etc/cert:z", "ports:", "  - " + yml["http.port"] + ":8080"}
	if secure {
		ports = append(ports, "  - "+yml["https.port"]+":8443")
	}
	service("proxy", "nginx", "nginx-photon", ports...)
	if trivy {
		folder("/data/trivy-adapter", 10000)
		folder("/data/trivy-adapter/trivy", 10000)
		service("trivy-adapter", "trivy-adapter", "trivy-adapter-photon", "depends_on:", "  - log", "volumes:", "  - "+data+"/trivy-adapter/trivy:/home/scanner/.cache/trivy")
	}
	compose.WriteString("networks:\n  harbor:\n    external: false\n")
	must(os.WriteFile("/compose_location/docker-compose.yml", []byte(compose.String()), 0o644))
	fmt.Println("Generated configuration file: /compose_location/docker-compose.yml\nClean up the input dir")
}
