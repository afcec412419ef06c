// Go's own file handler: lengths, ranges, conditions, and sendfile underneath.
package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	log.Fatal(http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, os.Args[2]+r.URL.Path)
	})))
}
