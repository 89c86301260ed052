package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

type user struct {
	ID       int    `json:"user_id"`
	Name     string `json:"username"`
	Email    string `json:"email"`
	Password string `json:"kept_password"`
	Admin    bool   `json:"sysadmin_flag"`
}

type member struct {
	ID   int    `json:"id"`
	Role int    `json:"role_id"`
	Name string `json:"entity_name"`
	Type string `json:"entity_type"`
}

type project struct {
	ID       int               `json:"project_id"`
	Name     string            `json:"name"`
	Metadata map[string]string `json:"metadata"`
	Quota    int64             `json:"quota"`
	Members  []member          `json:"members"`
}

type state struct {
	Next     int        `json:"next"`
	Users    []*user    `json:"users"`
	Projects []*project `json:"projects"`
}

type server struct {
	sync.Mutex
	state    state
	database string
	registry *httputil.ReverseProxy
}

func (s *server) ask(method string, body []byte) (*http.Response, error) {
	request, _ := http.NewRequest(method, s.database, bytes.NewReader(body))
	request.SetBasicAuth("postgres", os.Getenv("POSTGRESQL_PASSWORD"))
	client := http.Client{Timeout: 10 * time.Second}
	return client.Do(request)
}

func (s *server) save() {
	text, _ := json.Marshal(s.state)
	answer, err := s.ask("PUT", text)
	if err != nil || answer.StatusCode != 200 {
		fatal("the database is gone", err)
	}
	answer.Body.Close()
}

func (s *server) add(name string, public bool, quota int64) *project {
	s.state.Next++
	made := &project{ID: s.state.Next, Name: name, Metadata: map[string]string{"public": fmt.Sprint(public)}, Quota: quota}
	s.state.Projects = append(s.state.Projects, made)
	return made
}

// load waits for the database as core does, and ends where the password is wrong: then it restarts for ever.
func (s *server) load() {
	for tries := 0; ; tries++ {
		answer, err := s.ask("GET", nil)
		if err != nil {
			if tries > 60 {
				fatal("failed to connect to the database", err)
			}
			time.Sleep(time.Second)
			continue
		}
		defer answer.Body.Close()
		switch answer.StatusCode {
		case 200:
			must(json.NewDecoder(answer.Body).Decode(&s.state))
		case 404:
			s.state.Next = 1
			s.state.Users = []*user{{ID: 1, Name: "admin", Admin: true, Password: hashed(os.Getenv("HARBOR_ADMIN_PASSWORD"))}}
			s.add("library", true, -1)
			s.save()
		default:
			fatal("failed SASL auth")
		}
		return
	}
}

func (s *server) project(name string) *project {
	for _, each := range s.state.Projects {
		if each.Name == name {
			return each
		}
	}
	return nil
}

func (s *server) user(name string) *user {
	for _, each := range s.state.Users {
		if each.Name == name {
			return each
		}
	}
	return nil
}

// hashed is how passwords are kept: nobody may find one in the database.
func hashed(password string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(password))) }

func (s *server) caller(r *http.Request) *user {
	name, password, ok := r.BasicAuth()
	found := s.user(name)
	if !ok || found == nil || found.Password != hashed(password) {
		return nil
	}
	return found
}

// actions that a user has in a project: an administrator all, members by role, everybody pulls from a public one.
func (s *server) actions(who *user, in *project) []string {
	if in == nil {
		return nil
	}
	if who != nil {
		if who.Admin {
			return []string{"pull", "push"}
		}
		for _, each := range in.Members {
			if each.Name == who.Name && each.Role != 3 && each.Role != 5 {
				return []string{"pull", "push"}
			}
			if each.Name == who.Name {
				return []string{"pull"}
			}
		}
	}
	if in.Metadata["public"] == "true" {
		return []string{"pull"}
	}
	return nil
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// token is given to everybody; one with a wrong password has the rights of somebody without a login.
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	who := s.caller(r)
	granted := []access{}
	for _, scope := range r.URL.Query()["scope"] {
		parts := strings.SplitN(scope, ":", 3)
		if len(parts) < 3 {
			continue
		}
		name, _, _ := strings.Cut(parts[1], "/")
		may := s.actions(who, s.project(name))
		asked := slices.DeleteFunc(strings.Split(parts[2], ","), func(action string) bool { return !slices.Contains(may, action) })
		granted = append(granted, access{parts[0], parts[1], asked})
	}
	claims, _ := json.Marshal(map[string]any{"access": granted})
	text := "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".signature"
	reply(w, 200, map[string]any{"token": text, "access_token": "", "expires_in": 1800, "issued_at": time.Now().UTC().Format(time.RFC3339)})
}

var repositoryPath = regexp.MustCompile(`^/v2/(.+)/(?:manifests|blobs|tags|referrers)/`)

func refuse(w http.ResponseWriter, code int, name string, message string) {
	reply(w, code, map[string]any{"errors": []any{map[string]string{"code": name, "message": message}}})
}

func (s *server) granted(r *http.Request, repository string) []string {
	name, _, _ := strings.Cut(repository, "/")
	text, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		return s.actions(s.caller(r), s.project(name))
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 || s.project(name) == nil {
		return nil
	}
	claims := struct{ Access []access }{}
	decoded, _ := base64.RawURLEncoding.DecodeString(parts[1])
	json.Unmarshal(decoded, &claims)
	var found []string
	for _, each := range claims.Access {
		if inside, _, _ := strings.Cut(each.Name, "/"); inside == name {
			found = append(found, each.Actions...)
		}
	}
	return found
}

func (s *server) images(w http.ResponseWriter, r *http.Request) {
	authorization := r.Header.Get("Authorization")
	realm := fmt.Sprintf("%s://%s/service/token", r.Header.Get("X-Forwarded-Proto"), r.Host)
	bearer := fmt.Sprintf(`Bearer realm="%s",service="harbor-registry"`, realm)
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	match := repositoryPath.FindStringSubmatch(r.URL.Path)
	if match == nil {
		basic := strings.HasPrefix(authorization, "Basic ")
		if basic && s.caller(r) == nil || authorization == "" {
			w.Header().Set("Www-Authenticate", bearer)
			if basic {
				w.Header().Set("Www-Authenticate", `Basic realm="harbor"`)
			}
			refuse(w, 401, "UNAUTHORIZED", "unauthorized")
			return
		}
		w.WriteHeader(200)
		return
	}
	repository := match[1]
	needed := "push"
	if r.Method == "GET" || r.Method == "HEAD" {
		needed = "pull"
	}
	if !slices.Contains(s.granted(r, repository), needed) {
		challenge := `Basic realm="harbor"`
		if authorization == "" {
			challenge = fmt.Sprintf(`%s,scope="repository:%s:pull,push"`, bearer, repository)
		}
		w.Header().Set("Www-Authenticate", challenge)
		refuse(w, 401, "UNAUTHORIZED", "unauthorized to access repository: "+repository)
		return
	}
	r.Header.Del("Authorization")
	s.registry.ServeHTTP(w, r)
}

func reply(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(value)
}

func (s *server) health(w http.ResponseWriter) {
	status, components := "healthy", []any{}
	for name, address := range map[string]string{"database": "postgresql:5432", "jobservice": "jobservice:8080", "portal": "portal:8080",
		"redis": "redis:6379", "registry": "registry:5000", "registryctl": "registryctl:8080"} {
		each := map[string]string{"name": name, "status": "healthy"}
		connection, err := net.DialTimeout("tcp", address, 2*time.Second)
		if err != nil {
			status = "unhealthy"
			each["status"], each["error"] = "unhealthy", err.Error()
		} else {
			connection.Close()
		}
		components = append(components, each)
	}
	reply(w, 200, map[string]any{"status": status, "components": append(components, map[string]string{"name": "core", "status": "healthy"})})
}

func core() {
	registry, _ := url.Parse("http://registry:5000")
	s := &server{database: "http://postgresql:5432/", registry: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(registry)
		// The registry's Location must lead back to where the client came from.
		r.Out.Host = r.In.Host
		r.Out.Header.Set("X-Forwarded-Proto", r.In.Header.Get("X-Forwarded-Proto"))
	}}}
	s.load()
	fatal(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v2/"):
			s.images(w, r)
		case r.URL.Path == "/service/token":
			s.token(w, r)
		case r.URL.Path == "/api/v2.0/health":
			s.health(w)
		default:
			s.Lock()
			defer s.Unlock()
			s.api(w, r)
		}
	})))
}
