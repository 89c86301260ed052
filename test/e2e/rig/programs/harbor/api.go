package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
)

var (
	projectPath  = regexp.MustCompile(`^projects/([^/]+)(/summary|/members(?:/(\d+))?)?$`)
	passwordPath = regexp.MustCompile(`^users/(\d+)/password$`)
	quotaPath    = regexp.MustCompile(`^quotas/(\d+)$`)
	goodPassword = func(text string) bool {
		return len(text) >= 8 && strings.ContainsAny(text, "0123456789") && strings.ToLower(text) != text && strings.ToUpper(text) != text
	}
)

// body decodes a request; unknown fields are an error, as in the real one's generated code.
func body[T any](r *http.Request) (T, bool) {
	var value T
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	return value, decoder.Decode(&value) == nil
}

func (s *server) api(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/api/v2.0/")
	who := s.caller(r)
	if path == "systeminfo" {
		info := map[string]any{"auth_mode": "db_auth"}
		if who != nil {
			info["harbor_version"], info["read_only"] = os.Getenv("VERSION")+"-rig", false
		}
		reply(w, 200, info)
		return
	}
	if who == nil {
		refuse(w, 401, "UNAUTHORIZED", "unauthorized")
		return
	}
	if path == "users/current" {
		reply(w, 200, map[string]any{"user_id": who.ID, "username": who.Name, "sysadmin_flag": who.Admin})
		return
	}
	if match := passwordPath.FindStringSubmatch(path); match != nil && r.Method == "PUT" {
		given, ok := body[struct {
			Old string `json:"old_password"`
			New string `json:"new_password"`
		}](r)
		if !ok || match[1] != strconv.Itoa(who.ID) || hashed(given.Old) != who.Password || !goodPassword(given.New) {
			refuse(w, 400, "BAD_REQUEST", "the password is not accepted")
			return
		}
		who.Password = hashed(given.New)
		s.save()
		return
	}
	if !who.Admin {
		refuse(w, 403, "FORBIDDEN", "forbidden")
		return
	}
	switch {
	case path == "users/search":
		found := []any{}
		for _, each := range s.state.Users {
			if strings.Contains(each.Name, r.URL.Query().Get("username")) {
				found = append(found, map[string]any{"user_id": each.ID, "username": each.Name})
			}
		}
		reply(w, 200, found)
	case path == "users" && r.Method == "POST":
		s.makeUser(w, r)
	case path == "systeminfo/volumes":
		reply(w, 200, map[string]any{"storage": []any{map[string]any{"total": 100 << 30, "free": 50 << 30}}})
	case path == "quotas":
		for _, each := range s.state.Projects {
			if strconv.Itoa(each.ID) == r.URL.Query().Get("reference_id") {
				reply(w, 200, []any{map[string]any{"id": each.ID + 1000, "hard": map[string]any{"storage": each.Quota}}})
				return
			}
		}
		reply(w, 200, []any{})
	case quotaPath.MatchString(path) && r.Method == "PUT":
		given, ok := body[struct {
			Hard struct {
				Storage int64 `json:"storage"`
			} `json:"hard"`
		}](r)
		for _, each := range s.state.Projects {
			if ok && fmt.Sprint("quotas/", each.ID+1000) == path {
				each.Quota = given.Hard.Storage
				s.save()
				return
			}
		}
		refuse(w, 404, "NOT_FOUND", "no such quota")
	case path == "projects":
		s.projects(w, r)
	default:
		match := projectPath.FindStringSubmatch(path)
		if match == nil || s.project(match[1]) == nil {
			refuse(w, 404, "NOT_FOUND", path+" not found")
			return
		}
		s.oneProject(w, r, s.project(match[1]), match[2], match[3])
	}
}

func (s *server) makeUser(w http.ResponseWriter, r *http.Request) {
	given, ok := body[struct {
		Name     string `json:"username"`
		Email    string `json:"email"`
		Real     string `json:"realname"`
		Password string `json:"password"`
		Comment  string `json:"comment"`
	}](r)
	if !ok || !goodPassword(given.Password) || given.Email == "" || given.Real == "" {
		refuse(w, 400, "BAD_REQUEST", "the user is not accepted")
		return
	}
	if s.user(given.Name) != nil {
		refuse(w, 409, "CONFLICT", "user exists")
		return
	}
	s.state.Next++
	s.state.Users = append(s.state.Users, &user{ID: s.state.Next, Name: given.Name, Email: given.Email, Password: hashed(given.Password)})
	s.save()
	w.WriteHeader(201)
}

func (s *server) projects(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case "HEAD":
		if s.project(r.URL.Query().Get("project_name")) == nil {
			w.WriteHeader(404)
		}
	case "POST":
		given, ok := body[struct {
			Name     string            `json:"project_name"`
			Metadata map[string]string `json:"metadata"`
			Limit    *int64            `json:"storage_limit"`
		}](r)
		if !ok {
			refuse(w, 400, "BAD_REQUEST", "the project is not accepted")
			return
		}
		if s.project(given.Name) != nil {
			refuse(w, 409, "CONFLICT", "project exists")
			return
		}
		limit := int64(-1)
		if given.Limit != nil {
			limit = *given.Limit
		}
		s.add(given.Name, given.Metadata["public"] == "true", limit)
		s.save()
		w.WriteHeader(201)
	default:
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		size, _ := strconv.Atoi(r.URL.Query().Get("page_size"))
		from := min((page-1)*size, len(s.state.Projects))
		reply(w, 200, s.state.Projects[from:min(from+size, len(s.state.Projects))])
	}
}

func (s *server) oneProject(w http.ResponseWriter, r *http.Request, in *project, part string, id string) {
	switch {
	case part == "" && r.Method == "PUT":
		given, ok := body[struct {
			Metadata map[string]string `json:"metadata"`
		}](r)
		if !ok {
			refuse(w, 400, "BAD_REQUEST", "not accepted")
			return
		}
		for key, value := range given.Metadata {
			in.Metadata[key] = value
		}
		s.save()
	case part == "":
		reply(w, 200, in)
	case part == "/summary":
		reply(w, 200, map[string]any{"quota": map[string]any{"hard": map[string]any{"storage": in.Quota}, "used": map[string]any{"storage": 0}}})
	case r.Method == "POST":
		given, ok := body[struct {
			Role int `json:"role_id"`
			User struct {
				Name string `json:"username"`
			} `json:"member_user"`
		}](r)
		if !ok || s.user(given.User.Name) == nil {
			refuse(w, 404, "NOT_FOUND", "no such user")
			return
		}
		s.state.Next++
		in.Members = append(in.Members, member{ID: s.state.Next, Role: given.Role, Name: given.User.Name, Type: "u"})
		s.save()
		w.WriteHeader(201)
	case r.Method == "PUT":
		given, ok := body[struct {
			Role int `json:"role_id"`
		}](r)
		for i := range in.Members {
			if ok && strconv.Itoa(in.Members[i].ID) == id {
				in.Members[i].Role = given.Role
			}
		}
		s.save()
	default:
		found := []member{}
		for _, each := range in.Members {
			if strings.Contains(each.Name, r.URL.Query().Get("entityname")) {
				found = append(found, each)
			}
		}
		reply(w, 200, found)
	}
}
