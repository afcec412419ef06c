// net/http of Go: the jobs of test_http_libraries.py. Arguments: the URL of the site, the directory for the results.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

var url, out = os.Args[1], os.Args[2]
var client = &http.Client{Timeout: 60 * time.Second}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func ask(method string, name string, fields ...string) *http.Response {
	request, err := http.NewRequest(method, url+name, nil)
	check(err)
	for at := 0; at < len(fields); at += 2 {
		request.Header.Set(fields[at], fields[at+1])
	}
	response, err := client.Do(request)
	check(err)
	return response
}

// save writes first and the content of a response to a file of the results.
func save(response *http.Response, name string, first []byte) {
	defer response.Body.Close()
	file, err := os.Create(filepath.Join(out, name))
	check(err)
	_, err = file.Write(first)
	check(err)
	_, err = io.Copy(file, response.Body)
	check(err)
	check(file.Close())
}

func main() {
	whole := ask("GET", "large.bin")
	save(whole, "whole", nil)
	tag := whole.Header.Get("ETag")
	middle := ask("GET", "large.bin", "Range", "bytes=1000-70000")
	save(middle, "middle", nil)
	suffix := ask("GET", "large.bin", "Range", "bytes=-1000")
	save(suffix, "suffix", nil)

	cut := ask("GET", "large.bin")
	first := make([]byte, 100000)
	_, err := io.ReadFull(cut.Body, first)
	check(err)
	cut.Body.Close()
	rest := ask("GET", "large.bin", "Range", "bytes=100000-", "If-Range", tag)
	save(rest, "resumed", first)

	unchanged := ask("GET", "large.bin", "If-None-Match", tag)
	unchanged.Body.Close()
	save(ask("GET", "odd%20%23name.bin"), "odd", nil)
	head := ask("HEAD", "large.bin")
	head.Body.Close()

	var all sync.WaitGroup
	for number := 0; number < 20; number++ {
		all.Add(1)
		go func(number int) {
			defer all.Done()
			save(ask("GET", "small.bin"), fmt.Sprintf("many-%d", number), nil)
		}(number)
	}
	all.Wait()
	fmt.Println(middle.Proto, middle.StatusCode, suffix.StatusCode, rest.StatusCode, unchanged.StatusCode,
		head.ContentLength)
}
