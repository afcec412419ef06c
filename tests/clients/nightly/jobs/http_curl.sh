#!/bin/sh
# curl: the jobs of test_http_libraries.py. Arguments: the URL of the site, the directory for the results.
set -eu
url=$1
cd "$2"

get() { curl --silent --show-error --fail --max-time 60 --http2 "$@"; }

tag=$(get --output whole --write-out '%header{etag}' "${url}large.bin")
middle=$(get --output middle --write-out '%{http_code}' --range 1000-70000 "${url}large.bin")
suffix=$(get --output suffix --write-out '%{http_code}' --range -1000 "${url}large.bin")

get "${url}large.bin" 2>curl.log | head -c 100000 >resumed || :
rest=$(get --output resumed --continue-at - --write-out '%{http_code}' --header "If-Range: $tag" "${url}large.bin")

unchanged=$(get --output none --write-out '%{http_code}' --header "If-None-Match: $tag" "${url}large.bin")
get --output odd "${url}odd%20%23name.bin"
length=$(get --head --output none --write-out '%header{content-length}' "${url}large.bin")
get --parallel --output 'many-#1' "${url}small.bin?[0-19]"
version=$(get --output none --write-out '%{http_version}' "${url}small.bin")
echo "HTTP/$version $middle $suffix $rest $unchanged $length"
