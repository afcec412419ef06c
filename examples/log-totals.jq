# Totals for each client, from freight's JSON log:  jq --null-input --raw-input --from-file examples/log-totals.jq < log
# Messages to the operator have a level and no client, and are left out.
reduce (inputs | fromjson? | objects | select(has("client"))) as $entry ({};
  .[$entry.client] |= {
    requests: ((.requests // 0) + 1),
    bytes: ((.bytes // 0) + $entry.sent),
    unfinished: ((.unfinished // 0) + (if $entry.ended == "complete" then 0 else 1 end))
  })
