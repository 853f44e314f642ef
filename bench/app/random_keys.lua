-- For wrk: a query for one of 10,000 items, another one each time; percentiles that wrk does not print.
local requests = {}

function init()
  math.randomseed(42)
  for i = 1, 10000 do
    requests[i] = wrk.format("GET", string.format("/v1/apps/items/queries/item?id=%d", i - 1))
  end
end

function request()
  return requests[math.random(10000)]
end

function done(summary, latency)
  io.write(string.format("p95_us=%.0f p99_us=%.0f\n", latency:percentile(95), latency:percentile(99)))
end
