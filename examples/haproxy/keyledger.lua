-- The action lua.keyledger: asks Keyledger (GET /v1/authorize) whether a request may pass.
--
-- KEYLEDGER_URL is the API, and KEYLEDGER_GATEWAY_TOKEN_FILE holds the gateway's token and nothing else; haproxy.cfg sets
-- both. What is required stands in the variable txn.keyledger.required, as the query of /v1/authorize.

local api = assert(os.getenv("KEYLEDGER_URL"), "KEYLEDGER_URL is not set")
local token_file = assert(os.getenv("KEYLEDGER_GATEWAY_TOKEN_FILE"), "KEYLEDGER_GATEWAY_TOKEN_FILE is not set")
local file = assert(io.open(token_file))
local token = assert(file:read("l"), token_file .. " is empty")
file:close()

-- The API waits for its database this long at most before it answers 503.
local TIMEOUT_MS = 10000

-- What a client may present. Where it sends several, all of them are handed on, and the API refuses.
local PRESENTED = { "authorization", "x-api-key" }

-- Who it is, as the service is told.
local TOLD = {
    "x-credential-id", "x-organisation-id", "x-application-id", "x-public-id", "x-mode", "x-scopes",
}

-- Of a refusal, what the client is told.
local REFUSAL = { "www-authenticate", "content-type", "cache-control", "retry-after" }

-- All values of a header, or nil. HAProxy counts them from 0, and wants them counted from 1.
local function values(headers, name)
    local given = headers[name]
    return given and { given[0], table.unpack(given) }
end

local function refuse(txn, status, headers, body)
    txn:done(txn:reply({ status = status, headers = headers, body = body }))
end

core.register_action("keyledger", { "http-req" }, function(txn)
    local required = assert(txn:get_var("txn.keyledger.required"), "txn.keyledger.required is not set")
    local client = txn.http:req_get_headers()
    local asking = { ["x-gateway-token"] = { token } }
    for _, name in ipairs(PRESENTED) do
        asking[name] = values(client, name)
    end
    -- The address stands in the query, which no header of a client reaches.
    local url = api .. "/v1/authorize?" .. required .. "&client_ip=" .. txn.sf:src()
    local answer = core.httpclient():get({ url = url, headers = asking, timeout = TIMEOUT_MS })

    if answer and answer.status == 200 then
        for _, name in ipairs(TOLD) do
            local value = values(answer.headers, name)
            txn.http:req_del_header(name)
            if value and value[1] ~= "" then
                txn.http:req_set_header(name, value[1])
            end
        end
        -- haproxy.cfg lets nobody pass without it.
        txn:set_var("txn.keyledger.credential_id", values(answer.headers, "x-credential-id")[1])
    elseif answer and (answer.status == 401 or answer.status == 403) then
        local headers = {}
        for _, name in ipairs(REFUSAL) do
            headers[name] = values(answer.headers, name)
        end
        refuse(txn, answer.status, headers, answer.body)
    else
        -- A mistake in what is required, or no answer: nothing that the client could do better.
        refuse(txn, 503)
    end
end)
