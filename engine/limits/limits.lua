-- Limits in Redis or Valkey: one run of this script reserves, settles or renews. All or nothing.
--
-- KEYS: the leases of the home (a sorted set), then the state of each scope (a string). ARGV by its first:
--   reserve LEASE ASKED SPEC...    LEASE is empty when nothing is held; ASKED is its life, the deadline, and the estimate
--   settle MEMBER USED SPEC...
--   renew LIFE MEMBER...           returns how many are there no longer
-- Times are microseconds since 1970 by the clock of this server. ASKED, USED, SPEC and states are doubles
-- of 8 bytes one after the other, replies a word and integers of 8 bytes: to decode JSON and MessagePack
-- took a quarter of the time of a run.
--
-- Amounts are three: input tokens, output tokens, billionths of a dollar. What of them a rate or a
-- budget counts is one of these places, or BOTH kinds of tokens.
--
-- The score of a lease is when it expires. One that has expired keeps its place with that time
-- negated, so that its settling, if it comes at all, counts what was used and gives back nothing.

local MAX_AHEAD, MAX_COUNT, STEP_BACK, HOUR = 2 ^ 52, 2 ^ 53, 86400, 3600e6
local BOTH = 0
-- Places in a state: the time of the last write; requests under way, and what they hold; the nanoseconds
-- from then until all units of a rate are back, of requests and of three more; for each of six
-- budgets the start of its window and what was spent in that; and for each of the four rates the interval
-- that those nanoseconds are by.
local AT, ACTIVE, HELD, REQUESTS, RATES, BUDGETS, INTERVALS, PLACES = 1, 2, 2, 6, 6, 8, 16, 25
local STATE = '<' .. string.rep('d', PLACES)
local pack, unpack_numbers, format, max, min = struct.pack, struct.unpack, string.format, math.max, math.min
local call = redis.call
local time = redis.call('TIME')
local now = time[1] * 1e6 + time[2]

local function numbers(text) return {unpack_numbers('<' .. string.rep('d', #text / 8), text)} end

-- A state that cannot be read, of another type or not written here, is begun anew.
local function load_state(key)
  local packed = redis.pcall('GET', key)
  if type(packed) ~= 'string' or #packed ~= 8 * PLACES then packed = string.rep('\0', 8 * PLACES) end
  local state = {unpack_numbers(STATE, packed)}
  local passed = max(0, now - state[AT]) * 1000
  for n = REQUESTS, RATES + 3 do state[n] = max(0, state[n] - passed) end
  state[AT] = now
  return state
end

local function save_state(key, state, keep)
  for n = REQUESTS, RATES + 3 do keep = max(keep, state[n] / 1e6) end
  call('SET', key, pack(STATE, unpack(state, 1, PLACES)), 'PX', format('%.0f', keep + 60000))
end

-- Whether a rate is another one than before; as many of its units are used then.
local function convert(state, place, interval)
  local before = state[INTERVALS + place]
  state[INTERVALS + place] = interval
  if before == 0 or before == interval then return false end
  state[place] = min(math.ceil(state[place] * interval / before), MAX_AHEAD)
  return true
end

-- The state of a scope by the rates of its spec. It is kept at once, or it would go on by the one before while it refuses.
local function state_of(key, spec)
  local state = load_state(key)
  local is_other = spec.interval > 0 and convert(state, REQUESTS, spec.interval)
  for _, rate in ipairs(spec.rates) do is_other = convert(state, rate.at, rate.interval) or is_other end
  if is_other then save_state(key, state, spec.keep) end
  return state
end

local function release(state, held)
  state[ACTIVE] = max(0, state[ACTIVE] - 1)
  for n = 1, 3 do state[HELD + n] = max(0, state[HELD + n] - held[n]) end
end

local function counted(amounts, of, first)
  if of == BOTH then return amounts[first + 1] + amounts[first + 2] end
  return amounts[first + of]
end

-- What was spent of a budget in its window, and the start of that.
local function spent(state, budget)
  local start = state[budget.at]
  if start < budget.start or start > now / 1e6 + STEP_BACK then return 0, budget.start end
  return state[budget.at + 1], start
end

local function reply(word, ...)
  return word .. ' ' .. pack('<i8' .. string.rep('i8', select('#', ...)), now, ...)
end

-- What a lease holds: a member is LEASE|[INPUT,OUTPUT,COST]|KEY|KEY... of which 0.1.0 has no COST.
local function held_by(member)
  local input, output, cost = string.match(member, '|%[(%d+),(%d+),?(%d*)%]|')
  return {tonumber(input) or 0, tonumber(output) or 0, tonumber(cost) or 0}
end

-- Gives back what leases hold that nobody has renewed.
local function expire_leases()
  local gone = redis.pcall('ZRANGEBYSCORE', KEYS[1], 0, format('%.0f', now), 'LIMIT', 0, 100)
  if gone.err then call('DEL', KEYS[1]) return end
  if #gone == 0 then return end
  call('ZREMRANGEBYSCORE', KEYS[1], format('(%.0f', HOUR - now), '(0')
  for _, member in ipairs(gone) do
    local held = held_by(member)
    for key in string.gmatch(string.match(member, '|.-|(.*)'), '[^|]+') do
      local left = call('PTTL', key)
      if left > 0 then
        local state = load_state(key)
        release(state, held)
        save_state(key, state, left)
      end
    end
    call('ZADD', KEYS[1], format('%.0f', -now), member)
  end
end

-- SPEC: milliseconds that the state is kept; requests at once; interval and tolerance of the rate of
-- requests; how many others there are, and of each its place, interval, tolerance
-- and what it counts; of each budget its place, limit, start and end, what it counts, and `warn`. A limit
-- that there is not is 0.
local function read_spec(text)
  local n = numbers(text)
  local spec = {keep = n[1], concurrent = n[2], interval = n[3], tolerance = n[4], rates = {}, budgets = {}}
  local at = 5 + 4 * n[5]
  for from = 6, at, 4 do
    spec.rates[#spec.rates + 1] = {at = RATES + n[from], interval = n[from + 1], tolerance = n[from + 2], of = n[from + 3]}
  end
  for from = at + 1, #text / 8, 6 do
    local budget = {at = BUDGETS + 2 * n[from], limit = n[from + 1], start = n[from + 2], stop = n[from + 3], of = n[from + 4], warn = n[from + 5]}
    if now < budget.start * 1e6 or now >= budget.stop * 1e6 then return nil end
    spec.budgets[#spec.budgets + 1] = budget
  end
  return spec
end

-- The specs from an argument on; nil when a window of one has ended.
local function read_specs(first)
  local specs = {}
  for n = first, #ARGV do
    local spec = read_spec(ARGV[n])
    if not spec then return nil end
    specs[n - first + 1] = spec
  end
  return specs
end

local function free_of(rate, ahead) return math.floor((rate.tolerance - ahead) / rate.interval) end

-- Keeps in `why` what refuses longest, in seconds; of several the first.
local function refuse(why, wait, ...)
  wait = max(1, math.ceil(wait))
  if wait > why.wait then why.wait, why.of = wait, {...} end
end

local function refuse_late(why, rate, ahead, ...)
  refuse(why, (ahead + rate.interval - rate.tolerance) / 1e9, 'late', ...)
end

-- Notes in `why` what of scope `n` refuses: a word, the scope, the number of the rate or budget, and how far ahead the
-- rate is. Narrows `rooms`, which has what is left and of what.
local function check(n, spec, state, rooms, why)
  local ahead = state[REQUESTS]
  if spec.interval > 0 and free_of(spec, ahead) < 1 then refuse_late(why, spec, ahead, n, 0, ahead) end
  if spec.concurrent > 0 and state[ACTIVE] >= spec.concurrent then refuse(why, 1, 'busy', n, 0, 0) end
  for which, rate in ipairs(spec.rates) do
    ahead = state[rate.at]
    local free = free_of(rate, ahead) - counted(state, rate.of, HELD)
    if free < 1 then refuse_late(why, rate, ahead, n, which, ahead) end
    rooms[#rooms + 1] = {free, rate.of}
  end
  for which, budget in ipairs(spec.budgets) do
    local left = budget.limit - spent(state, budget)
    local free = left - counted(state, budget.of, HELD)
    if left < 1 then refuse(why, budget.stop - now / 1e6, 'spent', n, which, 0)
    elseif free < 1 then refuse(why, 1, 'held', n, which, 0) end
    rooms[#rooms + 1] = {free, budget.of}
  end
end

-- What of an estimate can be held: no more than there is room for.
local function cap(estimate, rooms)
  local held = {0, 0, 0}
  for n = 1, 3 do
    local wanted = estimate[n]
    for _, room in ipairs(rooms) do
      local of = room[2]
      if of == n or (of == BOTH and n < 3) then wanted = min(wanted, room[1] - counted(held, of, 0)) end
    end
    held[n] = wanted
  end
  return held
end

-- What is left, in the order of the specs: of requests how far ahead the rate is; of each other rate
-- that and what is held; of each budget what is left.
local function add_left(numbers, specs, states)
  local last = #numbers
  for n, spec in ipairs(specs) do
    local state = states[n]
    if spec.interval > 0 then
      last = last + 1
      numbers[last] = state[REQUESTS]
    end
    for _, rate in ipairs(spec.rates) do
      numbers[last + 1], numbers[last + 2] = state[rate.at], counted(state, rate.of, HELD)
      last = last + 2
    end
    for _, budget in ipairs(spec.budgets) do
      last = last + 1
      numbers[last] = budget.limit - spent(state, budget) - counted(state, budget.of, HELD)
    end
  end
  return unpack(numbers)
end

local function reserve(lease, asked)
  local life, deadline, estimate = asked[1], asked[2], {asked[3], asked[4], asked[5]}
  local specs = read_specs(4)
  if not specs or now > deadline then return reply('stale') end
  if lease ~= '' then expire_leases() end
  local states, rooms, why = {}, {}, {wait = 0}
  for n, spec in ipairs(specs) do states[n] = state_of(KEYS[n + 1], spec) end
  for n, spec in ipairs(specs) do
    check(n, spec, states[n], rooms, why)
  end
  if why.of then return reply(why.of[1], add_left({why.of[2], why.of[3], why.of[4]}, specs, states)) end
  local held = cap(estimate, rooms)
  for n, spec in ipairs(specs) do
    local state = states[n]
    state[REQUESTS] = state[REQUESTS] + spec.interval
    if lease ~= '' then
      state[ACTIVE] = state[ACTIVE] + 1
      for i = 1, 3 do state[HELD + i] = state[HELD + i] + held[i] end
    end
    save_state(KEYS[n + 1], state, max(spec.keep, life / 1000))
  end
  if lease ~= '' then
    local amounts = format('|[%.0f,%.0f,%.0f]|', held[1], held[2], held[3])
    call('ZADD', KEYS[1], format('%.0f', now + life), lease .. amounts .. table.concat(KEYS, '|', 2))
    call('PEXPIRE', KEYS[1], 7200000)
  end
  return reply('ok', add_left(held, specs, states))
end

-- Adds to `reached` the scope N and the places of budgets whose `warn` is reached by this.
local function use(spec, state, used, n, reached)
  for _, rate in ipairs(spec.rates) do
    state[rate.at] = min(state[rate.at] + counted(used, rate.of, 0) * rate.interval, MAX_AHEAD)
  end
  for place, budget in ipairs(spec.budgets) do
    local before, start = spent(state, budget)
    local after = min(before + counted(used, budget.of, 0), MAX_COUNT)
    state[budget.at], state[budget.at + 1] = start, after
    if before < budget.warn and after >= budget.warn then
      reached[#reached + 1] = n
      reached[#reached + 1] = place
    end
  end
end

local function settle(member, used)
  local specs = read_specs(4)
  if not specs then return reply('stale') end
  local score = redis.pcall('ZSCORE', KEYS[1], member)
  if not score or type(score) == 'table' then return reply('again') end
  call('ZREM', KEYS[1], member)
  local held, reached = held_by(member), {}
  for n, spec in ipairs(specs) do
    local state = #spec.rates > 0 and state_of(KEYS[n + 1], spec) or load_state(KEYS[n + 1])
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
    local left = call('PTTL', key)
    if left > 0 and left < keep then call('PEXPIRE', key, format('%.0f', keep)) end
  end
end

local function renew(life)
  local gone = 0
  for n = 3, #ARGV do
    local score = call('ZSCORE', KEYS[1], ARGV[n])
    if score and tonumber(score) > 0 then
      call('ZADD', KEYS[1], format('%.0f', now + life), ARGV[n])
      keep_states(ARGV[n], life)
    else
      gone = gone + 1
    end
  end
  call('PEXPIRE', KEYS[1], 7200000)
  return reply('ok', gone)
end

if ARGV[1] == 'reserve' then return reserve(ARGV[2], numbers(ARGV[3])) end
if ARGV[1] == 'settle' then return settle(ARGV[2], numbers(ARGV[3])) end
return renew(tonumber(ARGV[2]))
