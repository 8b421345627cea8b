-- Dovecot's passdb: asks Keyledger (POST /v1/verify) whether a login may submit mail.

local API = "http://127.0.0.1:8080" -- CHANGE: the API; over a network https
local TOKEN_FILE = "/etc/dovecot/keyledger-gateway-token" -- holds the gateway's token and nothing else

-- The API waits for its database no longer than this before it says that it cannot answer.
local TIMEOUT_MS = 10000

local client = nil
local token = nil

function script_init()
    local file = assert(io.open(TOKEN_FILE))
    token = assert(file:read("l"), TOKEN_FILE .. " is empty")
    file:close()
    client = dovecot.http.client({ request_timeout_msecs = TIMEOUT_MS, max_attempts = 1 })
    return 0
end

-- Whether it can be asked about. What is longer was never issued, and what is no UTF-8 is no text: a client's nonsense must
-- not look like an outage, after which mail programs try again.
local function possible(text, chars_max)
    local chars = utf8.len(text)
    return chars and chars > 0 and chars <= chars_max
end

-- A JSON string (RFC 8259, section 7).
local function quoted(text)
    return '"' .. text:gsub('[%c"\\]', function(sign) return string.format("\\u%04x", sign:byte()) end) .. '"'
end

function auth_password_verify(request, password)
    if not (possible(request.user, 200) and possible(password, 1024)) then
        return dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH, {}
    end
    local asking = client:request({ url = API .. "/v1/verify", method = "POST" })
    asking:add_header("Authorization", "Bearer " .. token)
    asking:add_header("Content-Type", "application/json")
    asking:set_payload(
        '{"channel":"email","mode":"live","public_id":' .. quoted(request.user) .. ',"secret":' .. quoted(password)
        .. ',"client_ip":' .. quoted(request.rip) .. "}"
    )
    local answer = asking:submit()
    if answer:status() ~= 200 then
        return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, "Keyledger answered " .. answer:status()
    end
    -- A quote inside of a JSON string has a backslash before it, so these are the fields and nothing else. A credential
    -- without a channel, like an API key for HTTP, is good for no mail.
    local said = answer:payload()
    if said:find('"valid":true', 1, true) and said:find('"channel":"email"', 1, true) then
        return dovecot.auth.PASSDB_RESULT_OK, {}
    end
    return dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH, {}
end
