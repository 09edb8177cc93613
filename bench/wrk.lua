-- Sends the tokens of a file in turn, each to a path that ends with its number, and prints one line of JSON when done.
-- Arguments after "--": the file with one token a line, the path, the number of routes, the length of the body, and
-- which request is the first. Meant for one wrk thread.

local requests, position = {}, 0

function init(args)
  local tokens = {}
  for token in io.lines(args[1]) do
    tokens[#tokens + 1] = token
  end
  local path, routes, length = args[2], tonumber(args[3]), tonumber(args[4])
  local body = length > 0 and string.rep("x", length) or nil
  for number = 0, math.max(#tokens, routes) - 1 do
    local user = number % #tokens
    local target = string.format("%s/%06d", (path:gsub("{}", number % routes)), user)
    local headers = { ["Host"] = wrk.headers["Host"], ["Authorization"] = "Bearer " .. tokens[user + 1] }
    requests[number + 1] = wrk.format(body and "POST" or "GET", target, headers, body)
  end
  position = tonumber(args[5])
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'BENCH {"requests": %d, "duration_us": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
