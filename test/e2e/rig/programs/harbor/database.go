package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

const base = "/var/lib/postgresql/data"

// database keeps one document, as PostgreSQL keeps tables: in the folder of its own version. It takes over the folder of one other
// version, and starts with an empty one beside any that it does not know. Its password is that of the first start.
func database() {
	own := filepath.Join(base, "pg"+os.Getenv("PG_VERSION_NEW"))
	old := filepath.Join(base, "pg"+os.Getenv("PG_VERSION_OLD"))
	if _, err := os.Stat(own); err != nil {
		if _, err := os.Stat(old); err == nil {
			part := own + ".part"
			os.RemoveAll(part)
			if err := os.CopyFS(part, os.DirFS(old)); err != nil {
				fatal(err)
			}
			if err := os.Rename(part, own); err != nil {
				fatal(err)
			}
			os.RemoveAll(old)
		} else {
			if err := os.MkdirAll(own, 0o700); err != nil {
				fatal(err)
			}
			if err := os.WriteFile(filepath.Join(own, "password"), []byte(os.Getenv("POSTGRES_PASSWORD")), 0o600); err != nil {
				fatal(err)
			}
		}
	}
	file := filepath.Join(own, "state.json")
	fatal(http.ListenAndServe(":5432", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wanted, _ := os.ReadFile(filepath.Join(own, "password"))
		if _, given, _ := r.BasicAuth(); given != strings.TrimSpace(string(wanted)) {
			http.Error(w, "failed SASL auth", 401)
			return
		}
		if r.Method == "PUT" {
			bytes, _ := io.ReadAll(r.Body)
			if err := os.WriteFile(file+".part", bytes, 0o600); err != nil {
				http.Error(w, err.Error(), 500)
				return
			}
			os.Rename(file+".part", file)
			return
		}
		http.ServeFile(w, r, file)
	})))
}
