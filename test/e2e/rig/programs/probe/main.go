// probe URL prints what an address answers; names are resolved as the pod's resolv.conf says, by Go itself
// (a static busybox can't: its C library wants to load parts of itself).
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func get(url string) error {
	client := http.Client{Timeout: 4 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: probe URL")
		os.Exit(2)
	}
	if err := get(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
