// What stands in Harbor's images in the tests: each container of a Harbor, as far as an installation meets it. The same ports,
// folders, users and answers; the storage behind is a real registry. It follows the facts of Harbor 2.13 to 2.15.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func fatal(values ...any) {
	fmt.Fprintln(os.Stderr, values...)
	os.Exit(1)
}

// health asks what the image's own check asks: a port that takes connections, or a page that says 200.
func health(target string) {
	if target[0] != ':' {
		client := http.Client{
			Timeout:       5 * time.Second,
			Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		answer, err := client.Get(target)
		if err != nil {
			fatal(err)
		}
		if answer.StatusCode >= 400 {
			fatal(answer.Status)
		}
		return
	}
	connection, err := net.DialTimeout("tcp", "127.0.0.1"+target, 2*time.Second)
	if err != nil {
		fatal(err)
	}
	connection.Close()
}

// takeLogs is harbor-log: what containers say comes over TCP.
func takeLogs() {
	listener, err := net.Listen("tcp", ":10514")
	if err != nil {
		fatal(err)
	}
	file, err := os.OpenFile("/var/log/docker/all.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			fatal(err)
		}
		go io.Copy(file, connection)
	}
}

func page(address string, text string) {
	fatal(http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, text) })))
}

// jobservice says to a core's question what the real one says when nginx has old addresses.
func jobservice() {
	fatal(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/stats" {
			return
		}
		w.WriteHeader(401)
		fmt.Fprint(w, `{"code":10011,"message":"unauthorized"}`)
	})))
}

func main() {
	args := os.Args
	// `docker exec nginx nginx -s reload`
	if filepath.Base(args[0]) == "nginx" && len(args) == 3 && args[2] == "reload" {
		if err := syscall.Kill(1, syscall.SIGHUP); err != nil {
			fatal(err)
		}
		return
	}
	if len(args) < 2 {
		fatal("usage: harbor ROLE")
	}
	switch args[1] {
	case "health":
		health(args[2])
	case "log":
		takeLogs()
	case "db":
		database()
	case "redis":
		page(":6379", "PONG")
	case "registryctl":
		page(":8080", "registryctl")
	case "jobservice":
		jobservice()
	case "portal":
		page(":8080", "<title>Harbor</title>")
	case "core":
		core()
	case "proxy":
		proxy()
	case "prepare":
		prepare(args[2:])
	default:
		fatal("no role", args[1])
	}
}
