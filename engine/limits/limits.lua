-- Limits in Redis or Valkey: one run of this script reserves, settles or renews. All or nothing.
--
-- KEYS: the leases of the home (a sorted set), then the state of each scope (a string). ARGV by its first:
--   reserve LEASE LIFE DEADLINE ESTIMATE SPEC...   LEASE is empty when nothing is held
--   settle MEMBER USED SPEC...
--   renew LIFE MEMBER...                           returns how many are there no longer
-- Times are microseconds since 1970 by the clock of this server. ESTIMATE, USED and SPEC are JSON.
--
-- A state is a table by names: `at`, the time of the last write; for each rate the nanoseconds from
-- then until all of its units are back; `active`, requests under way; `held`, what they hold; and for
-- each budget the start of its window and what was spent in that.
--
-- The score of a lease is when it expires. One that has expired keeps its place with that time
-- negated, so that its settling, if it comes at all, counts what was used and gives back nothing.

local MAX_AHEAD, MAX_COUNT, STEP_BACK, HOUR = 2 ^ 52, 2 ^ 53, 86400, 3600e6
local time = redis.call('TIME')
local now = time[1] * 1e6 + time[2]

-- A state that cannot be read, of another type or not written here, is begun anew.
local function read_state(key)
  local packed = redis.pcall('GET', key)
  if type(packed) ~= 'string' then return nil end
  local is_read, state = pcall(cmsgpack.unpack, packed)
  if not is_read or type(state) ~= 'table' then return nil end
  for _, name in ipairs({'held', 'rates', 'budgets'}) do
    if type(state[name]) ~= 'table' then return nil end
  end
  return type(state.at) == 'number' and type(state.active) == 'number' and state or nil
end

local function load_state(key)
  local state = read_state(key) or {at = now, active = 0, held = {}, rates = {}, budgets = {}}
  local passed = math.max(0, now - state.at) * 1000
  for name, ahead in pairs(state.rates) do state.rates[name] = math.max(0, ahead - passed) end
  state.at = now
  return state
end

local function save_state(key, state, keep)
  for _, ahead in pairs(state.rates) do keep = math.max(keep, ahead / 1e6) end
  redis.call('SET', key, cmsgpack.pack(state), 'PX', string.format('%.0f', keep + 60000))
end

local function release(state, held)
  state.active = math.max(0, state.active - 1)
  for n, amount in ipairs(held) do state.held[n] = math.max(0, (state.held[n] or 0) - amount) end
end

local function sum(amounts, which)
  local total = 0
  for _, n in ipairs(which) do total = total + (amounts[n] or 0) end
  return total
end

local function spent(state, budget)
  local window = state.budgets[budget.name]
  if not window then return 0, budget.start end
  if window[1] < budget.start or window[1] > now / 1e6 + STEP_BACK then return 0, budget.start end
  return window[2], window[1]
end

local function reply(word, ...)
  local parts = {word, string.format('%.0f', now)}
  for _, number in ipairs({...}) do parts[#parts + 1] = string.format('%.0f', number) end
  return table.concat(parts, ' ')
end

-- Gives back what leases hold that nobody has renewed. A member is LEASE|HELD|KEY|KEY...
local function expire_leases()
  local gone = redis.pcall('ZRANGEBYSCORE', KEYS[1], 0, string.format('%.0f', now), 'LIMIT', 0, 100)
  if gone.err then redis.call('DEL', KEYS[1]) return end
  if #gone == 0 then return end
  redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', HOUR - now), '(0')
  for _, member in ipairs(gone) do
    local parts = {}
    for part in string.gmatch(member, '[^|]+') do parts[#parts + 1] = part end
    local held = cjson.decode(parts[2])
    for n = 3, #parts do
      local left = redis.call('PTTL', parts[n])
      if left > 0 then
        local state = load_state(parts[n])
        release(state, held)
        save_state(parts[n], state, left)
      end
    end
    redis.call('ZADD', KEYS[1], string.format('%.0f', -now), member)
  end
end

local function decode_specs(first)
  local specs = {}
  for n = first, #ARGV do
    specs[#specs + 1] = cjson.decode(ARGV[n])
    for _, budget in ipairs(specs[#specs].budgets) do
      if now < budget.start * 1e6 or now >= budget.after * 1e6 then return nil end
    end
  end
  return specs
end

local function free_of(rate, ahead) return math.floor((rate.tolerance - ahead) / rate.interval) end

-- Why a scope refuses: a word, the number of the rate or budget, and how far ahead the rate is.
-- Narrows `rooms`, which has what is left and of what.
local function check(spec, state, rooms)
  local ahead = spec.requests and (state.rates.requests or 0)
  if ahead and free_of(spec.requests, ahead) < 1 then return 'late', 0, ahead end
  if spec.concurrent and state.active >= spec.concurrent then return 'busy', 0, 0 end
  for n, rate in ipairs(spec.rates) do
    ahead = state.rates[rate.name] or 0
    local free = free_of(rate, ahead) - sum(state.held, rate.of)
    if free < 1 then return 'late', n, ahead end
    rooms[#rooms + 1] = {free, rate.of}
  end
  for n, budget in ipairs(spec.budgets) do
    local left = budget.limit - spent(state, budget)
    if left < 1 then return 'spent', n, 0 end
    left = left - sum(state.held, budget.of)
    if left < 1 then return 'held', n, 0 end
    rooms[#rooms + 1] = {left, budget.of}
  end
end

-- What of an estimate can be held: no more than there is room for.
local function cap(estimate, rooms)
  local held = {}
  for n in ipairs(estimate) do held[n] = 0 end
  for n, wanted in ipairs(estimate) do
    for _, room in ipairs(rooms) do
      for _, counted in ipairs(room[2]) do
        if counted == n then wanted = math.min(wanted, room[1] - sum(held, room[2])) end
      end
    end
    held[n] = wanted
  end
  return held
end

-- What is left, in the order of the specs: of requests how far ahead the rate is; of each other rate
-- that and what is held; of each budget what is left.
local function add_left(numbers, specs, states)
  for n, spec in ipairs(specs) do
    local state = states[n]
    if spec.requests then numbers[#numbers + 1] = state.rates.requests or 0 end
    for _, rate in ipairs(spec.rates) do
      numbers[#numbers + 1] = state.rates[rate.name] or 0
      numbers[#numbers + 1] = sum(state.held, rate.of)
    end
    for _, budget in ipairs(spec.budgets) do
      numbers[#numbers + 1] = budget.limit - spent(state, budget) - sum(state.held, budget.of)
    end
  end
  return unpack(numbers)
end

local function life_of(spec, life) return math.max(spec.keep, life / 1000) end

local function reserve(lease, life, deadline, estimate)
  local specs = decode_specs(6)
  if not specs or now > deadline then return reply('stale') end
  if lease ~= '' then expire_leases() end
  local states, rooms = {}, {}
  for n in ipairs(specs) do states[n] = load_state(KEYS[n + 1]) end
  for n, spec in ipairs(specs) do
    local why, which, ahead = check(spec, states[n], rooms)
    if why then return reply(why, add_left({n, which, ahead}, specs, states)) end
  end
  local held = cap(estimate, rooms)
  for n, spec in ipairs(specs) do
    local state = states[n]
    if spec.requests then
      state.rates.requests = (state.rates.requests or 0) + spec.requests.interval
    end
    if lease ~= '' then
      state.active = state.active + 1
      for i, amount in ipairs(held) do state.held[i] = (state.held[i] or 0) + amount end
    end
    save_state(KEYS[n + 1], state, life_of(spec, life))
  end
  if lease ~= '' then
    local amounts = {}
    for n, amount in ipairs(held) do amounts[n] = string.format('%.0f', amount) end
    local member = lease .. '|[' .. table.concat(amounts, ',') .. ']|' .. table.concat(KEYS, '|', 2)
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + life), member)
    redis.call('PEXPIRE', KEYS[1], 7200000)
  end
  return reply('ok', add_left({#held, unpack(held)}, specs, states))
end

-- Adds to `reached` the scope N and the places of budgets whose `warn` is reached by this.
local function use(spec, state, used, n, reached)
  for _, rate in ipairs(spec.rates) do
    local ahead = (state.rates[rate.name] or 0) + sum(used, rate.of) * rate.interval
    state.rates[rate.name] = math.min(ahead, MAX_AHEAD)
  end
  for place, budget in ipairs(spec.budgets) do
    local before, start = spent(state, budget)
    local after = math.min(before + sum(used, budget.of), MAX_COUNT)
    state.budgets[budget.name] = {start, after}
    if budget.warn and before < budget.warn and after >= budget.warn then
      reached[#reached + 1] = n
      reached[#reached + 1] = place
    end
  end
end

local function settle(member, used)
  local specs = decode_specs(4)
  if not specs then return reply('stale') end
  local score = redis.pcall('ZSCORE', KEYS[1], member)
  if not score or type(score) == 'table' then return reply('again') end
  redis.call('ZREM', KEYS[1], member)
  local held, reached = cjson.decode(string.match(member, '|(.-)|')), {}
  for n, spec in ipairs(specs) do
    local state = load_state(KEYS[n + 1])
    if tonumber(score) > 0 then release(state, held) end
    use(spec, state, used, n, reached)
    save_state(KEYS[n + 1], state, spec.keep)
  end
  return reply('ok', unpack(reached))
end

-- The states of a lease that goes on last longer than the lease.
local function keep_states(member, life)
  for key in string.gmatch(string.match(member, '|.-|(.*)'), '[^|]+') do
    local keep = life / 1000 + 60000
    local left = redis.call('PTTL', key)
    if left > 0 and left < keep then redis.call('PEXPIRE', key, string.format('%.0f', keep)) end
  end
end

local function renew(life)
  local gone = 0
  for n = 3, #ARGV do
    local score = redis.call('ZSCORE', KEYS[1], ARGV[n])
    if score and tonumber(score) > 0 then
      redis.call('ZADD', KEYS[1], string.format('%.0f', now + life), ARGV[n])
      keep_states(ARGV[n], life)
    else
      gone = gone + 1
    end
  end
  redis.call('PEXPIRE', KEYS[1], 7200000)
  return reply('ok', gone)
end

if ARGV[1] == 'reserve' then
  return reserve(ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), cjson.decode(ARGV[5]))
elseif ARGV[1] == 'settle' then
  return settle(ARGV[2], cjson.decode(ARGV[3]))
end
return renew(tonumber(ARGV[2]))
