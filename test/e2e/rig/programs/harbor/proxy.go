package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
)

// upstream is looked up once, when it starts: nginx keeps the addresses that others had then.
func upstream(name string) *httputil.ReverseProxy {
	addresses, err := net.LookupHost(name)
	if err != nil {
		fatal("host not found in upstream", name, err)
	}
	target, _ := url.Parse("http://" + addresses[0] + ":8080")
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		scheme := "http"
		if r.In.TLS != nil {
			scheme = "https"
		}
		r.Out.Header.Set("X-Forwarded-Proto", scheme)
	}}
}

func proxy() {
	core, portal := upstream("core"), upstream("portal")
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, prefix := range []string{"/api/", "/v2/", "/service/", "/c/"} {
			if strings.HasPrefix(r.URL.Path, prefix) {
				core.ServeHTTP(w, r)
				return
			}
		}
		portal.ServeHTTP(w, r)
	})
	if _, err := os.Stat("/etc/cert/server.crt"); err != nil {
		fatal(http.ListenAndServe(":8080", handler))
	}
	port := os.Getenv("HTTPS_PORT")
	go func() {
		fatal(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := strings.Cut(r.Host, ":")
			if port != "443" {
				host += ":" + port
			}
			http.Redirect(w, r, "https://"+host+r.URL.RequestURI(), 308)
		})))
	}()
	var current atomic.Pointer[tls.Certificate]
	load := func() {
		certificate, err := tls.LoadX509KeyPair("/etc/cert/server.crt", "/etc/cert/server.key")
		if err != nil {
			fatal(err)
		}
		current.Store(&certificate)
	}
	load()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for range signals {
			load()
		}
	}()
	// Harbor's nginx offers no HTTP/2.
	server := http.Server{Addr: ":8443", Handler: handler, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	server.TLSConfig = &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil },
	}
	fatal(server.ListenAndServeTLS("", ""))
}
