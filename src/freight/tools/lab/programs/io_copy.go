// The smallest right program: open the file, do not read it, copy a small buffer at a time to the response.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	log.Fatal(http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, err := os.Open(os.Args[2] + r.URL.Path)
		if err != nil {
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		defer file.Close()
		io.Copy(w, file)
	})))
}
