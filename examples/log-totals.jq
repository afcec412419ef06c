# What each client took, from freight's JSON log:  jq --null-input --raw-input --from-file examples/log-totals.jq < log
# Lines that are not JSON are the server's words to its operator, and are passed over.
reduce (inputs | fromjson? | objects) as $entry ({};
  .[$entry.client] |= {
    requests: ((.requests // 0) + 1),
    bytes: ((.bytes // 0) + $entry.sent),
    unfinished: ((.unfinished // 0) + (if $entry.ended == "complete" then 0 else 1 end))
  })
