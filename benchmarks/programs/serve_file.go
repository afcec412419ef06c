// Go's own file handler: lengths, ranges, conditions, and sendfile underneath; with a certificate and its key HTTPS.
package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, os.Args[2]+r.URL.Path)
	})
	if len(os.Args) > 4 {
		log.Fatal(http.ListenAndServeTLS(os.Args[1], os.Args[3], os.Args[4], handler))
	}
	log.Fatal(http.ListenAndServe(os.Args[1], handler))
}
