-- wrk -s infer.lua URL -- BODYFILE
function init(args)
  local file = io.open(args[1], "r")
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = file:read("*a")
  file:close()
end
