-- One step of a budget, as costlab.monitoring.budget.engine says it in Python; tests hold both together.
-- KEYS: books (hash), reservations (hash), their expiry (sorted set), audit trail (list), expired ones (sorted set),
--       requests that ran without a reservation (set)
-- ARGV: 1 step, 2 generation that the caller knows, 3 one that it offers, 4 now, 5 whether lost records stop the budget,
--       6 number of limits n, then for each: name, 1 for day or 2 for month, micro-dollars, whether it stops;
--       then what the step needs
-- Answer: outcome, generation, limit, its amount, spent, reserved, whether stopped, then new audit entries as JSON
local books, reservations, expiry, trail, lapsed, unbooked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local step, now_text, now = ARGV[1], ARGV[4], tonumber(ARGV[4])
local base = 6 + 4 * tonumber(ARGV[6])
local entries = {}

local function account(period)
  local got = redis.call('HMGET', books, 'spent|' .. period, 'reserved|' .. period, 'extra|' .. period)
  return {
    period = period,
    exists = got[1],
    spent = tonumber(got[1] or 0),
    reserved = tonumber(got[2] or 0),
    extra = tonumber(got[3] or 0),
  }
end

local function add(field, period, amount)
  redis.call('HINCRBY', books, field .. '|' .. period, amount)
end

local function take(field, period, amount)
  if amount ~= '0' then add(field, period, '-' .. amount) end -- the server takes no -0
end

-- person and reason come as JSON
local function write(change, name, cap, of, requested, person, reason)
  local entry = string.format(
    '{"time_s":%s,"change":"%s","limit_name":"%s","period":"%s","limit_micro_usd":%.0f,"spent_micro_usd":%.0f,' ..
    '"reserved_micro_usd":%.0f,"requested_micro_usd":%.0f,"person":',
    now_text, change, name, of.period, cap, of.spent, of.reserved, requested
  ) .. (person or '""') .. ',"reason":' .. (reason or '""') .. '}'
  entries[#entries + 1] = entry
  redis.call('RPUSH', trail, entry)
end

local function opened(period)
  local of = account(period)
  if not of.exists then
    redis.call('HSET', books, 'spent|' .. period, 0)
    write('opened', '', 0, { period = period, spent = 0, reserved = 0 }, 0)
  end
  return of
end

local function stop(name, cap, of, amount)
  redis.call('HSET', books, 'stopped', name)
  write('stopped', name, cap, of, amount)
end

local function tell(change, name, cap, of, amount)
  if redis.call('HSETNX', books, 'mark|' .. of.period .. '|' .. change .. ':' .. name, 1) == 1 then
    write(change, name, cap, of, amount)
  end
end

local function cap_of(amount, stops, of)
  if stops == '1' then return amount + of.extra end
  return amount
end

local function watch(which, of, amount)
  local used = of.spent + of.reserved
  for i = 7, base, 4 do
    if ARGV[i + 1] == which then
      local cap = cap_of(tonumber(ARGV[i + 2]), ARGV[i + 3], of)
      if used >= cap then
        tell('reached', ARGV[i], cap, of, amount)
        if ARGV[i + 3] == '1' and (redis.call('HGET', books, 'stopped') or '') == '' then
          stop(ARGV[i], cap, of, amount)
        end
      end
    end
  end
end

local function expire()
  local due = redis.call('ZRANGEBYSCORE', expiry, '-inf', now_text)
  for _, token in ipairs(due) do
    local held = redis.call('HGET', reservations, token)
    local amount, day, month = string.match(held, '^(%d+) (%S+) (%S+)')
    for _, period in ipairs({ day, month }) do
      take('reserved', period, amount)
      add('lapsed', period, amount)
    end
    redis.call('HSET', reservations, token, held .. ' lapsed')
    redis.call('ZADD', lapsed, redis.call('ZSCORE', expiry, token), token)
    redis.call('ZREM', expiry, token)
  end
  if #due > 0 then
    local before = string.format('(%.17g', now - 604800)
    for _, token in ipairs(redis.call('ZRANGEBYSCORE', lapsed, '-inf', before)) do
      redis.call('HDEL', reservations, token)
      redis.call('ZREM', lapsed, token)
    end
  end
end

local generation = redis.call('HGET', books, 'generation')
if not generation then
  generation = ARGV[3]
  redis.call('HSET', books, 'generation', generation)
end
-- A caller that knew the books before they were lost says so once; all others knew the same ones.
if ARGV[2] ~= '' and ARGV[2] ~= generation and redis.call('HSETNX', books, 'lost|' .. ARGV[2], now_text) == 1 then
  local nothing = { period = '', spent = 0, reserved = 0 }
  write('lost', '', 0, nothing, 0)
  if ARGV[5] == '1' then stop('lost_records', 0, nothing, 0) end
end

local function answer(outcome, name, cap, of, stopped)
  local said = { outcome, generation, name or '', '0', '0', '0', stopped and 1 or 0 }
  if of then
    said[4], said[5], said[6] =
      string.format('%.0f', cap), string.format('%.0f', of.spent), string.format('%.0f', of.reserved)
  end
  for _, entry in ipairs(entries) do said[#said + 1] = entry end
  return said
end

local function named(name)
  for i = 7, base, 4 do
    if ARGV[i] == name then return ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3] end
  end
end

expire()

if step == 'reserve' then
  -- token, amount, day, month, expiry, then of the daily and of the monthly limit: name, amount, stops, hard amount
  local token, amount = ARGV[base + 1], tonumber(ARGV[base + 2])
  if redis.call('HEXISTS', reservations, token) == 1 then return answer('admitted') end
  local accounts = { opened(ARGV[base + 3]), opened(ARGV[base + 4]) }
  local stopped = redis.call('HGET', books, 'stopped') or ''
  if stopped ~= '' then
    local which, cap, stops = named(stopped)
    local of = accounts[which == '2' and 2 or 1]
    return answer('refused', stopped, cap and cap_of(cap, stops, of) or 0, of, true)
  end
  for i = 1, 2 do
    local of, at = accounts[i], base + 2 + 4 * i
    local cap = cap_of(tonumber(ARGV[at + 1]), ARGV[at + 2], of)
    if of.spent + of.reserved + amount > cap then
      local trips = ARGV[at + 2] == '1' and of.spent + of.reserved >= tonumber(ARGV[at + 3])
      tell('refusing', ARGV[at], cap, of, amount)
      if trips then stop(ARGV[at], cap, of, amount) end
      return answer('refused', ARGV[at], cap, of, trips)
    end
  end
  for i = 1, 2 do
    add('reserved', accounts[i].period, ARGV[base + 2])
    accounts[i].reserved = accounts[i].reserved + amount
  end
  redis.call('HSET', reservations, token, ARGV[base + 2] .. ' ' .. ARGV[base + 3] .. ' ' .. ARGV[base + 4])
  redis.call('ZADD', expiry, ARGV[base + 5], token)
  watch('1', accounts[1], amount)
  watch('2', accounts[2], amount)
  return answer('admitted')
end

if step == 'close' then
  -- token, spent or nothing, day, month, whether it may have been said before, whether it ran without a reservation
  local token, actual = ARGV[base + 1], ARGV[base + 2]
  local day, month, again, ran_unbooked = ARGV[base + 3], ARGV[base + 4], ARGV[base + 5] == '1', ARGV[base + 6] == '1'
  local given_up = actual == ''
  local amount, late = '0', true
  local held = redis.call('HGET', reservations, token)
  if held then
    local state
    amount, day, month, state = string.match(held, '^(%d+) (%S+) (%S+) ?(%S*)$')
    late = state == 'lapsed'
    redis.call('HDEL', reservations, token)
    redis.call('ZREM', late and lapsed or expiry, token)
  else
    local known = again
    if ran_unbooked and not given_up then known = redis.call('SADD', unbooked, token) == 0 end
    if given_up or known then return answer(known and 'known' or 'cancelled') end
  end
  for i, period in ipairs({ day, month }) do
    local of = opened(period)
    if not late then
      take('reserved', period, amount)
      of.reserved = of.reserved - tonumber(amount)
    end
    if not given_up then
      add('spent', period, actual)
      of.spent = of.spent + tonumber(actual)
      watch(tostring(i), of, tonumber(actual))
    end
  end
  if given_up then return answer('cancelled') end
  return answer(late and 'late' or 'settled')
end

if step == 'restart' then
  -- person, reason, both as JSON; extra amount, day, month
  local stopped = redis.call('HGET', books, 'stopped') or ''
  if stopped == '' then return answer('running') end
  for i = 1, 2 do
    local period = ARGV[base + 3 + i]
    opened(period)
    add('extra', period, ARGV[base + 3])
    for j = 7, base, 4 do
      if ARGV[j + 1] == tostring(i) and ARGV[j + 3] == '1' then
        local mark = 'mark|' .. period .. '|'
        redis.call('HDEL', books, mark .. 'reached:' .. ARGV[j], mark .. 'refusing:' .. ARGV[j])
      end
    end
  end
  local which, cap, stops = named(stopped)
  local of = account(ARGV[base + (which == '2' and 5 or 4)])
  redis.call('HSET', books, 'stopped', '')
  write('reset', stopped, cap and cap_of(cap, stops, of) or 0, of, tonumber(ARGV[base + 3]), ARGV[base + 1], ARGV[base + 2])
  return answer('reset')
end

if step == 'read' then
  -- any number of periods; answers with what stopped the budget and four amounts each
  local said = answer('read', redis.call('HGET', books, 'stopped') or '')
  for i = base + 1, #ARGV do
    local of = account(ARGV[i])
    local gone = redis.call('HGET', books, 'lapsed|' .. ARGV[i]) or '0'
    said[#said + 1] = string.format('%.0f %.0f %.0f %s', of.spent, of.reserved, of.extra, gone)
  end
  return said
end

return redis.error_reply('ERR costlab: unknown step')
