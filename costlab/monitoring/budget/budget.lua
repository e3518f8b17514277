-- One step of a budget, as costlab.monitoring.budget.engine says it in Python; tests hold both together.
--
-- KEYS  1 books, a hash: generation, stopped, one field for each day and month ("spent reserved extra lapsed"), what was
--         told, and requests that ran without a reservation
--       2 open reservations by expiry, a sorted set of "token amount day"
--       3 the audit trail, a list of JSON
--       4 expired reservations, a sorted set like the second
-- ARGV  1 step   2 the generation of books that the caller knows, or one that it offers, after a plus   3 now   4 plan,
--       JSON: {"stops_when_lost": ..., "limits": [[name, 1 for day or 2 for month, micro-dollars, 1 where it stops]],
--       "by": {priority: [place of its daily and of its monthly limit]}, "hard": [two micro-dollars]}   5 day
--       6, 7 the lowest daily and monthly limit   then what the step needs
-- Answer: outcome, generation; of a refusal also limit, its amount, spent, reserved, whether stopped; then, after the word
--         entries, what was added to the audit trail. Where nothing but the outcome is new, the outcome alone.
local call, books, day = redis.call, KEYS[1], ARGV[5]
local month = string.sub(day, 1, 7)
local step, now = ARGV[1], ARGV[3]

local due = call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'WITHSCORES')
local got = call('HMGET', books, 'generation', 'stopped', day, month)

-- Most steps meet no limit and change nothing but amounts. They end here; what follows says the same at length.
if ARGV[9] and #due == 0 and got[1] == ARGV[2] and got[2] == '' and got[3] and got[4] then
  local match, format = string.match, string.format
  local ds, dr, dx, dl = match(got[3], '(%S+) (%S+) (%S+) (%S+)')
  local ms, mr, mx, ml = match(got[4], '(%S+) (%S+) (%S+) (%S+)')
  local amount, reservation = tonumber(ARGV[9]), ARGV[8] .. ' ' .. ARGV[9] .. ' ' .. day
  ds, dr, ms, mr = tonumber(ds), tonumber(dr), tonumber(ms), tonumber(mr)
  if step == 'reserve' then
    local day_used, month_used = ds + dr + amount, ms + mr + amount
    if day_used <= tonumber(ARGV[11]) and month_used <= tonumber(ARGV[12])
      and day_used < tonumber(ARGV[6]) and month_used < tonumber(ARGV[7]) then
      if call('ZADD', KEYS[2], 'NX', ARGV[10], reservation) == 1 then
        call('HSET', books, day, format('%.0f %.0f %s %s', ds, dr + amount, dx, dl),
          month, format('%.0f %.0f %s %s', ms, mr + amount, mx, ml))
      end
      return 'admitted'
    end
  elseif step == 'settle' then
    local spent = tonumber(ARGV[10])
    if spent and ds + dr - amount + spent < tonumber(ARGV[6]) and ms + mr - amount + spent < tonumber(ARGV[7])
      and call('ZREM', KEYS[2], reservation) == 1 then
      call('HSET', books, day, format('%.0f %.0f %s %s', ds + spent, dr - amount, dx, dl),
        month, format('%.0f %.0f %s %s', ms + spent, mr - amount, mx, ml))
      return 'settled'
    end
  end
end

local entries, stopped, generation, made

local function account(period, text)
  local spent, reserved, extra, lapsed = string.match(text or '0 0 0 0', '(%S+) (%S+) (%S+) (%S+)')
  return {
    period = period, is_new = not text, spent = tonumber(spent), reserved = tonumber(reserved),
    extra = tonumber(extra), lapsed = tonumber(lapsed),
  }
end

local function keep(of)
  call('HSET', books, of.period, string.format('%.0f %.0f %.0f %.0f', of.spent, of.reserved, of.extra, of.lapsed))
end

local function helpers()
  if made then return made end
  made = { plan = cjson.decode(ARGV[4]) }
  entries = entries or {}

  -- person and reason come as JSON
  function made.write(change, name, cap, of, requested, person, reason)
    local entry = string.format(
      '{"time_s":%s,"change":"%s","limit_name":"%s","period":"%s","limit_micro_usd":%.0f,"spent_micro_usd":%.0f,' ..
      '"reserved_micro_usd":%.0f,"requested_micro_usd":%.0f,"person":',
      now, change, name, of.period, cap, of.spent, of.reserved, requested
    ) .. (person or '""') .. ',"reason":' .. (reason or '""') .. '}'
    entries[#entries + 1] = entry
    call('RPUSH', KEYS[3], entry)
  end

  function made.stop(name, cap, of, amount)
    stopped = name
    call('HSET', books, 'stopped', name)
    made.write('stopped', name, cap, of, amount)
  end

  function made.tell(change, name, cap, of, amount)
    if call('HSETNX', books, 'told|' .. of.period .. '|' .. change .. ':' .. name, now) == 1 then
      made.write(change, name, cap, of, amount)
    end
  end

  function made.cap(limit, of)
    if limit[4] == 1 then return limit[3] + of.extra end
    return limit[3]
  end

  function made.watch(which, of, amount)
    for _, limit in ipairs(made.plan.limits) do
      local cap = made.cap(limit, of)
      if limit[2] == which and of.spent + of.reserved >= cap then
        made.tell('reached', limit[1], cap, of, amount)
        if limit[4] == 1 and stopped == '' then made.stop(limit[1], cap, of, amount) end
      end
    end
  end

  -- Where a stop was made: the account that it is about, and its limit there.
  function made.stopping(accounts)
    for _, limit in ipairs(made.plan.limits) do
      if limit[1] == stopped then
        local of = accounts[limit[2]]
        return of, made.cap(limit, of)
      end
    end
    return accounts[1], 0
  end

  -- What was reserved by those who neither settled nor gave up in time is given back.
  function made.expire(due)
    for i = 1, #due, 2 do
      local amount, of_day = string.match(due[i], ' (%d+) (%S+)$')
      for _, period in ipairs({ of_day, string.sub(of_day, 1, 7) }) do
        local of = account(period, call('HGET', books, period))
        of.reserved = of.reserved - tonumber(amount)
        of.lapsed = of.lapsed + tonumber(amount)
        keep(of)
      end
      call('ZREM', KEYS[2], due[i])
      call('ZADD', KEYS[4], due[i + 1], due[i])
    end
    call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('(%.17g', tonumber(now) - 604800))
  end

  function made.begin(of)
    if of.is_new then
      keep(of)
      made.write('opened', '', 0, of, 0)
    end
  end

  -- The caller knows other books than these, or none.
  function made.meet(found)
    local known = string.sub(ARGV[2], 1, 1) ~= '+' and ARGV[2]
    generation = found or (known and known .. "'") or string.sub(ARGV[2], 2)
    if not found then call('HSET', books, 'generation', generation, 'stopped', '') end
    -- One that knew the books before they were lost says so; all others knew the same ones.
    if known and call('HSETNX', books, 'lost|' .. known, now) == 1 then
      local nothing = { period = '', spent = 0, reserved = 0 }
      made.write('lost', '', 0, nothing, 0)
      if made.plan.stops_when_lost then made.stop('lost_records', 0, nothing, 0) end
    end
  end

  return made
end

local function answer(outcome, ...)
  local said = { outcome, generation, ... }
  if entries and #entries > 0 then
    said[#said + 1] = 'entries'
    for _, entry in ipairs(entries) do said[#said + 1] = entry end
  end
  return said
end

if #due > 0 then
  helpers().expire(due)
  got = call('HMGET', books, 'generation', 'stopped', day, month)
end
generation, stopped = got[1], got[2] or ''
local of_day, of_month = account(day, got[3]), account(month, got[4])
local accounts = { of_day, of_month }
if generation ~= ARGV[2] and step ~= 'status' then helpers().meet(generation) end

if step == 'reserve' then
  -- token, amount, expiry, the daily and the monthly limit for its priority, priority
  local reservation, amount = ARGV[8] .. ' ' .. ARGV[9] .. ' ' .. day, tonumber(ARGV[9])
  if call('ZADD', KEYS[2], 'NX', ARGV[10], reservation) == 0 then return answer('admitted') end
  if of_day.is_new or of_month.is_new then
    helpers().begin(of_day)
    helpers().begin(of_month)
  end
  if stopped ~= '' then
    call('ZREM', KEYS[2], reservation)
    local of, cap = helpers().stopping(accounts)
    return answer('refused', stopped, string.format('%.0f', cap), string.format('%.0f', of.spent),
      string.format('%.0f', of.reserved), 1)
  end
  for i, of in ipairs(accounts) do
    if of.spent + of.reserved + amount > tonumber(ARGV[10 + i]) then
      local plan = helpers().plan
      local limit = plan.limits[plan.by[ARGV[13]][i]]
      local cap = made.cap(limit, of)
      if of.spent + of.reserved + amount > cap then
        call('ZREM', KEYS[2], reservation)
        local trips = limit[4] == 1 and of.spent + of.reserved >= plan.hard[i]
        made.tell('refusing', limit[1], cap, of, amount)
        if trips then made.stop(limit[1], cap, of, amount) end
        return answer('refused', limit[1], string.format('%.0f', cap), string.format('%.0f', of.spent),
          string.format('%.0f', of.reserved), trips and 1 or 0)
      end
    end
  end
  for i, of in ipairs(accounts) do
    of.reserved = of.reserved + amount
    keep(of)
    if of.spent + of.reserved >= tonumber(ARGV[5 + i]) then helpers().watch(i, of, amount) end
  end
  return answer('admitted')
end

if step == 'settle' then
  -- token, reserved amount, spent amount or nothing, whether it may have been said before, whether it was not reserved
  local reservation, given_up = ARGV[8] .. ' ' .. ARGV[9] .. ' ' .. day, ARGV[10] == ''
  local held = call('ZREM', KEYS[2], reservation) == 1
  if not held and call('ZREM', KEYS[4], reservation) == 0 then
    local known = ARGV[11] == '1'
    if ARGV[12] == '1' and not given_up then known = call('HSETNX', books, 'ran|' .. ARGV[8], now) == 0 end
    if given_up or known then return answer(known and 'known' or 'released') end
  end
  local amount, actual = held and tonumber(ARGV[9]) or 0, tonumber(ARGV[10]) or 0
  for i, of in ipairs(accounts) do
    if of.is_new then helpers().begin(of) end
    of.reserved = of.reserved - amount
    of.spent = of.spent + actual
    keep(of)
    if not given_up and of.spent + of.reserved >= tonumber(ARGV[5 + i]) then helpers().watch(i, of, actual) end
  end
  return answer(given_up and 'released' or held and 'settled' or 'late')
end

if step == 'reset' then
  -- person and reason, both as JSON, extra amount
  if stopped == '' then return answer('running') end
  for i, of in ipairs(accounts) do
    helpers().begin(of)
    of.extra = of.extra + tonumber(ARGV[10])
    keep(of)
    for _, limit in ipairs(made.plan.limits) do
      if limit[2] == i and limit[4] == 1 then
        local told = 'told|' .. of.period .. '|'
        call('HDEL', books, told .. 'reached:' .. limit[1], told .. 'refusing:' .. limit[1])
      end
    end
  end
  local of, cap = made.stopping(accounts)
  call('HSET', books, 'stopped', '')
  made.write('reset', stopped, cap, of, tonumber(ARGV[10]), ARGV[8], ARGV[9])
  return answer('reset')
end

if step == 'status' then return { stopped, got[3] or '0 0 0 0', got[4] or '0 0 0 0' } end

return redis.error_reply('ERR costlab: unknown step')
